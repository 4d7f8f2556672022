package sockio

import (
	"io"
	"net"
	"os"
	"syscall"
)

// RawConn returns the raw connection of a plain TCP or Unix socket. It returns nil
// for anything else: a wrapped connection keeps its wrapping.
func RawConn(c net.Conn) syscall.RawConn {
	var raw syscall.RawConn
	switch c := c.(type) {
	case *net.TCPConn:
		raw, _ = c.SyscallConn()
	case *net.UnixConn:
		raw, _ = c.SyscallConn()
	}
	return raw
}

// receiveNow reads what has come. The runtime calls it again when more has come.
func (r *Reader) receiveNow(fd uintptr) (done bool) {
	buffer := r.buffers.get()
	n, err := ignoringInterrupts(syscall.Read, int(fd), buffer[:])
	if err == nil && n > 0 {
		r.buffer, r.unread, r.filled, r.err = buffer, buffer[:n], n == len(buffer), nil
		return true
	}
	r.buffers.put(buffer)
	switch {
	case err == syscall.EAGAIN:
		return false
	case err != nil:
		r.err = err // an Errno is a net.Error
	default:
		r.err = io.EOF
	}
	return true
}

// Writer writes what a socket takes without waiting. The zero value is ready. It
// serves many sockets, one after another, and is for one goroutine.
type Writer struct {
	rest    []byte
	err     error
	perform func(fd uintptr) (done bool)
}

// Write returns how many bytes the socket has taken, which may be none.
func (w *Writer) Write(raw syscall.RawConn, p []byte) (int, error) {
	if w.perform == nil {
		w.perform = w.performNow
	}
	w.rest, w.err = p, nil
	err := raw.Write(w.perform)
	n := len(p) - len(w.rest)
	w.rest = nil
	if err == nil {
		err = w.err
	}
	return n, err
}

func (w *Writer) performNow(fd uintptr) (done bool) {
	n, err := ignoringInterrupts(syscall.Write, int(fd), w.rest)
	if n > 0 {
		w.rest = w.rest[n:]
	}
	if err != nil && err != syscall.EAGAIN {
		w.err = os.NewSyscallError("write", err)
	}
	return true
}

func ignoringInterrupts(call func(int, []byte) (int, error), fd int, p []byte) (n int, err error) {
	for {
		if n, err = call(fd, p); err != syscall.EINTR {
			return n, err
		}
	}
}
