package rohrpost

import (
	"bufio"
	"net"
	"net/http"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rohrpost/rohrpost/internal/sockio"
)

// socket is the TCP connection of a client, after the handshake.
type socket struct {
	net.Conn
	reader sockio.Reader
}

// newSocket returns a socket. A portable one is read as one that may wait.
func newSocket(conn net.Conn, buffers *sockio.Buffers, portable bool) *socket {
	if portable {
		return &socket{conn, sockio.NewReader(conn, nil, buffers)}
	}
	return &socket{conn, sockio.NewReader(conn, sockio.RawConn(conn), buffers)}
}

// hijacker lets the upgrader shake hands, and keeps the connection. The upgrader refuses a
// client that has sent something before the end of the handshake.
type hijacker struct {
	http.ResponseWriter
	conn   net.Conn // nil: it was not taken over
	failed error    // why it cannot be; gorilla does not return it
}

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, used, err := http.NewResponseController(h.ResponseWriter).Hijack()
	h.conn, h.failed = conn, err
	return conn, used, err
}

// abort closes a connection that was taken over.
func (h *hijacker) abort() {
	if h.conn != nil {
		_ = h.conn.Close()
	}
}

// newUpgrader returns the settings of the handshake. There is no compression, since a few
// bytes could become many.
func newUpgrader() websocket.Upgrader {
	return websocket.Upgrader{
		HandshakeTimeout: 10 * time.Second,
		CheckOrigin:      func(*http.Request) bool { return true }, // admit did
	}
}
