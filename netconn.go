package rohrpost

import (
	"bufio"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rohrpost/rohrpost/internal/sockio"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// netConn is the net.Conn that gorilla gets. It reads from the socket, and sends what
// gorilla writes by the way of all other frames, so that they have one order.
type netConn struct {
	net.Conn
	reader   sockio.Reader
	buffered *bufio.Reader // what gorilla reads from; nil: of the server
	owner    socketOwner   // nil during the handshake
}

// socketOwner is the connection to which a netConn belongs.
type socketOwner interface {
	// startDispatch is called when reading is about to wait.
	startDispatch()

	// protocolError is called for a frame that violates the protocol or is too large.
	protocolError(code int, reason string)
}

// Read implements net.Conn.
func (n *netConn) Read(p []byte) (int, error) {
	if n.owner != nil && n.reader.Empty() {
		n.owner.startDispatch() // in the middle of a frame
	}
	return n.reader.Read(p)
}

// Write implements net.Conn. After the handshake gorilla writes a close frame only,
// for a frame that violates the protocol or is too large.
func (n *netConn) Write(p []byte) (int, error) {
	if n.owner == nil {
		return n.Conn.Write(p)
	}
	if code, reason, ok := wire.ParseCloseFrame(p); ok {
		n.owner.protocolError(code, reason)
	}
	return len(p), nil
}

// SetWriteDeadline implements net.Conn. The writer of the connection sets its own
// deadlines.
func (n *netConn) SetWriteDeadline(t time.Time) error {
	if n.owner == nil {
		return n.Conn.SetWriteDeadline(t)
	}
	return nil
}

// idle reports whether everything that has come is read.
func (n *netConn) idle() bool {
	return (n.buffered == nil || n.buffered.Buffered() == 0) && n.reader.Empty()
}

// hijacker lets the upgrader take over a connection as a netConn.
type hijacker struct {
	http.ResponseWriter
	wrap   func(net.Conn) *netConn
	socket *netConn
	failed error // why the connection cannot be taken over; gorilla does not return it
}

// bufferedSize is the size of the smallest reader that gorilla takes.
const bufferedSize = 257

// Hijack implements http.Hijacker. It keeps none of the server's buffers.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, used, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		h.failed = err
		return nil, nil, err
	}
	h.socket = h.wrap(conn)
	if used.Reader.Buffered() > 0 {
		return h.socket, used, nil // the client sent too early, which gorilla refuses
	}
	h.socket.buffered = bufio.NewReaderSize(h.socket, bufferedSize)
	return h.socket, bufio.NewReadWriter(h.socket.buffered, used.Writer), nil
}

// abort closes a connection that was taken over.
func (h *hijacker) abort() {
	if h.socket != nil {
		_ = h.socket.Close()
	}
}

// newUpgrader returns the settings of the handshake. An idle connection keeps no
// buffers. There is no compression, since a few bytes could become many.
func newUpgrader() websocket.Upgrader {
	return websocket.Upgrader{
		HandshakeTimeout: 10 * time.Second,
		WriteBufferPool:  &sync.Pool{},                             // for control frames; ReadBufferSize 0 takes the reader of the netConn
		CheckOrigin:      func(*http.Request) bool { return true }, // admit did
	}
}
