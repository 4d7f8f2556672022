package rohrpost

import (
	"bytes"
	"io"
	"net"
	"sync"
	"syscall"
)

// feedSize is the size of a read buffer, in bytes.
const feedSize = 4 << 10

// feed reads from a socket. It has a buffer only while something has come and is
// not read yet.
type feed struct {
	socket  net.Conn
	raw     syscall.RawConn // nil: the socket is read as it comes, without a buffer
	buffers *buffers

	buffer  *[feedSize]byte // nil: nothing is there
	unread  []byte          // of the buffer
	receive func(fd uintptr) (done bool)
	err     error // of receive
}

// buffers are those that nobody uses just now.
type buffers struct{ pool sync.Pool }

func (h *Hub) newFeed(socket net.Conn) feed {
	f := feed{socket: socket, buffers: &h.buffers}
	if !h.portable {
		f.raw = rawConn(socket)
	}
	return f
}

// empty reports whether reading would have to wait, as far as it is known.
func (f *feed) empty() bool { return len(f.unread) == 0 }

// read is for one goroutine, like wait and empty.
func (f *feed) read(p []byte) (int, error) {
	if f.raw == nil {
		return f.socket.Read(p)
	}
	if err := f.wait(); err != nil {
		return 0, err
	}
	n := copy(p, f.unread)
	if f.unread = f.unread[n:]; len(f.unread) == 0 {
		f.buffers.put(f.buffer)
		f.buffer = nil
	}
	return n, nil
}

// wait waits until something is there.
func (f *feed) wait() error {
	if f.raw == nil || len(f.unread) > 0 {
		return nil
	}
	if f.receive == nil {
		f.receive = f.receiveNow
	}
	if err := f.raw.Read(f.receive); err != nil {
		return err
	}
	return f.err
}

// readAll reads a message. One that fits into a buffer takes no more memory than
// it is long.
func (b *buffers) readAll(r io.Reader) ([]byte, error) {
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

func (b *buffers) get() *[feedSize]byte {
	if buffer, ok := b.pool.Get().(*[feedSize]byte); ok {
		return buffer
	}
	return new([feedSize]byte)
}

func (b *buffers) put(buffer *[feedSize]byte) { b.pool.Put(buffer) }
