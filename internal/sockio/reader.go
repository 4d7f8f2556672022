// Package sockio reads from sockets and writes to them without a buffer or a
// goroutine that waits. It imports the standard library only.
package sockio

import (
	"net"
	"sync"
	"syscall"
)

const (
	bufferSize = 4 << 10 // of a shared read buffer in bytes
	ownSize    = 512     // of the buffer of a Reader without a raw connection
)

// Buffers holds read buffers that no Reader uses at the moment. The zero value is
// ready. It may be used concurrently.
type Buffers struct{ pool sync.Pool }

// Reader reads from a socket. It holds a shared buffer only while bytes have come that
// are not read yet. A socket without a raw connection has a small buffer of its own. Its
// methods are for one goroutine.
type Reader struct {
	socket  net.Conn
	raw     syscall.RawConn // nil: the socket may wait
	buffers *Buffers

	buffer  *[bufferSize]byte // shared; nil: there is nothing to read
	own     []byte            // nil: not needed yet
	unread  []byte            // of a buffer
	filled  bool              // the last bytes that came have filled a buffer
	receive func(fd uintptr) (done bool)
	err     error // of receive
}

// NewReader returns a Reader of a socket. raw is what RawConn returns for it.
func NewReader(socket net.Conn, raw syscall.RawConn, buffers *Buffers) Reader {
	return Reader{socket: socket, raw: raw, buffers: buffers}
}

// Raw returns the raw connection, nil where there is none.
func (r *Reader) Raw() syscall.RawConn { return r.raw }

// Empty reports whether Read would have to wait, as far as the Reader knows.
func (r *Reader) Empty() bool { return len(r.unread) == 0 }

// Filled reports whether the last bytes that came have filled a buffer: more has come.
func (r *Reader) Filled() bool { return r.filled }

// Read implements io.Reader. It waits for something to read.
func (r *Reader) Read(p []byte) (int, error) {
	if r.raw == nil && len(r.unread) == 0 && len(p) >= ownSize {
		n, err := r.socket.Read(p)
		r.filled = n == len(p)
		return n, err
	}
	if err := r.Wait(); err != nil {
		return 0, err
	}
	n := copy(p, r.unread)
	if r.unread = r.unread[n:]; len(r.unread) == 0 && r.buffer != nil {
		r.buffers.put(r.buffer)
		r.buffer = nil
	}
	return n, nil
}

// Wait waits until there is something to read.
func (r *Reader) Wait() error {
	switch {
	case len(r.unread) > 0:
		return nil
	case r.raw == nil:
		return r.waitFor()
	case r.receive == nil:
		r.receive = r.receiveNow
	}
	if err := r.raw.Read(r.receive); err != nil {
		return err
	}
	return r.err
}

// waitFor reads into the buffer of the Reader.
func (r *Reader) waitFor() error {
	if r.own == nil {
		r.own = make([]byte, ownSize)
	}
	n, err := r.socket.Read(r.own)
	r.unread, r.filled = r.own[:n], n == ownSize
	if n > 0 {
		return nil // an error comes again
	}
	return err
}

func (b *Buffers) get() *[bufferSize]byte {
	if buffer, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return buffer
	}
	return new([bufferSize]byte)
}

func (b *Buffers) put(buffer *[bufferSize]byte) { b.pool.Put(buffer) }
