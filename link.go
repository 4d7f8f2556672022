package rohrpost

import (
	"bufio"
	"net"
	"net/http"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rohrpost/rohrpost/internal/sockio"
)

// link is the net.Conn that gorilla gets. It hands over what comes in, and sees
// to it that all that goes out takes the same way, in one order.
type link struct {
	net.Conn
	feed sockio.Reader
	conn *Conn // nil during the handshake
}

// Read implements net.Conn.
func (l *link) Read(p []byte) (int, error) {
	if l.conn != nil && l.feed.Empty() {
		l.conn.handOver() // in the middle of a frame
	}
	return l.feed.Read(p)
}

// Write implements net.Conn: after the handshake gorilla writes a close frame
// only, where what comes is no WebSocket, or too large.
func (l *link) Write(p []byte) (int, error) {
	if l.conn == nil {
		return l.Conn.Write(p)
	}
	const header, code = 2, 2
	if len(p) >= header+code && p[0] == 0x80|websocket.CloseMessage {
		status := int(p[header])<<8 | int(p[header+1])
		l.conn.end(status, string(p[header+code:]), true)
	}
	return len(p), nil
}

// SetWriteDeadline implements net.Conn: who writes sets his own.
func (l *link) SetWriteDeadline(t time.Time) error {
	if l.conn == nil {
		return l.Conn.SetWriteDeadline(t)
	}
	return nil
}

// upgradeWriter lets the upgrader take over a connection as a link.
type upgradeWriter struct {
	http.ResponseWriter
	hub    *Hub
	link   *link
	reader *bufio.Reader // what gorilla reads from
}

// readerSize is the least that gorilla takes.
const readerSize = 257

// Hijack implements http.Hijacker. Of what the server has used for the request
// nothing is kept.
func (w *upgradeWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, used, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	w.link = &link{Conn: conn, feed: w.hub.newReader(conn)}
	if used.Reader.Buffered() > 0 {
		return w.link, used, nil // it came too early, which gorilla refuses
	}
	w.reader = bufio.NewReaderSize(w.link, readerSize)
	return w.link, bufio.NewReadWriter(w.reader, used.Writer), nil
}
