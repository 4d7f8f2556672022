// Package sockio reads from sockets and writes to them without a buffer or a
// goroutine that waits. It imports the standard library only.
package sockio

import (
	"bytes"
	"io"
	"net"
	"sync"
	"syscall"
)

// bufferSize is the size of a read buffer in bytes.
const bufferSize = 4 << 10

// Buffers holds read buffers that no Reader uses at the moment. The zero value is
// ready. It may be used concurrently.
type Buffers struct{ pool sync.Pool }

// Reader reads from a socket. It holds a buffer only while bytes have come that
// are not read yet. Its methods are for one goroutine.
type Reader struct {
	socket  net.Conn
	raw     syscall.RawConn // nil: the Reader reads the socket without a buffer
	buffers *Buffers

	buffer  *[bufferSize]byte // nil: there is nothing to read
	unread  []byte            // of the buffer
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

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	if r.raw == nil {
		return r.socket.Read(p)
	}
	if err := r.Wait(); err != nil {
		return 0, err
	}
	n := copy(p, r.unread)
	if r.unread = r.unread[n:]; len(r.unread) == 0 {
		r.buffers.put(r.buffer)
		r.buffer = nil
	}
	return n, nil
}

// Wait waits until there is something to read. Where the socket has no raw
// connection it returns at once.
func (r *Reader) Wait() error {
	if r.raw == nil || len(r.unread) > 0 {
		return nil
	}
	if r.receive == nil {
		r.receive = r.receiveNow
	}
	if err := r.raw.Read(r.receive); err != nil {
		return err
	}
	return r.err
}

// ReadAll reads a message to its end. For a message that fits into one buffer it
// allocates no more than the length of the message.
func (b *Buffers) ReadAll(r io.Reader) ([]byte, error) {
	buffer := b.get()
	defer b.put(buffer)
	n, err := io.ReadFull(r, buffer[:])
	switch err {
	case nil:
		rest, err := io.ReadAll(r)
		return append(bytes.Clone(buffer[:]), rest...), err
	case io.EOF, io.ErrUnexpectedEOF:
		return bytes.Clone(buffer[:n]), nil
	}
	return nil, err
}

func (b *Buffers) get() *[bufferSize]byte {
	if buffer, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return buffer
	}
	return new([bufferSize]byte)
}

func (b *Buffers) put(buffer *[bufferSize]byte) { b.pool.Put(buffer) }
