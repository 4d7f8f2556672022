//go:build !linux

package sockio

import (
	"net"
	"syscall"
)

// RawConn returns nil: on this system the hub reads and writes a socket as any
// net.Conn.
func RawConn(net.Conn) syscall.RawConn { return nil }

func (r *Reader) receiveNow(uintptr) bool { return true }

// Writer is not used on this system.
type Writer struct{}

// Write writes nothing.
func (w *Writer) Write(syscall.RawConn, []byte) (int, error) { return 0, nil }
