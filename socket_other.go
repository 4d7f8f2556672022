//go:build !linux

package rohrpost

import (
	"net"
	"syscall"
)

// rawConn: there is none, all is read and written as any connection is.
func rawConn(net.Conn) syscall.RawConn { return nil }

func (f *feed) receiveNow(uintptr) bool { return true }

type attempt struct{}

func (a *attempt) write(syscall.RawConn, []byte) (int, error) { return 0, nil }
