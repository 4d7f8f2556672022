package rohrpost

import (
	"io"
	"net"
	"os"
	"syscall"
)

// rawConn returns the socket below a plain connection. What is wrapped in
// anything keeps its wrapping.
func rawConn(c net.Conn) syscall.RawConn {
	var raw syscall.RawConn
	switch c := c.(type) {
	case *net.TCPConn:
		raw, _ = c.SyscallConn()
	case *net.UnixConn:
		raw, _ = c.SyscallConn()
	}
	return raw
}

// receiveNow reads what is there, and is called again when there is something.
func (f *feed) receiveNow(fd uintptr) (done bool) {
	buffer := f.buffers.get()
	n, err := ignoringInterrupts(syscall.Read, int(fd), buffer[:])
	if err == nil && n > 0 {
		f.buffer, f.unread, f.err = buffer, buffer[:n], nil
		return true
	}
	f.buffers.put(buffer)
	switch {
	case err == syscall.EAGAIN:
		return false
	case err != nil:
		f.err = err // an Errno is a net.Error
	default:
		f.err = io.EOF
	}
	return true
}

// attempt is a write that does not wait.
type attempt struct {
	rest    []byte
	err     error
	perform func(fd uintptr) (done bool)
}

func (a *attempt) write(raw syscall.RawConn, p []byte) (int, error) {
	if a.perform == nil {
		a.perform = a.performNow
	}
	a.rest, a.err = p, nil
	err := raw.Write(a.perform)
	n := len(p) - len(a.rest)
	a.rest = nil
	if err == nil {
		err = a.err
	}
	return n, err
}

func (a *attempt) performNow(fd uintptr) (done bool) {
	n, err := ignoringInterrupts(syscall.Write, int(fd), a.rest)
	if n > 0 {
		a.rest = a.rest[n:]
	}
	if err != nil && err != syscall.EAGAIN {
		a.err = os.NewSyscallError("write", err)
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
