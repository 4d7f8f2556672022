package rohrpost

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

// fakeSocket takes as many bytes as it has room for. What is written to it with
// Write waits for room, as with a real one.
type fakeSocket struct {
	net.Conn // what the handshake went over

	mu      sync.Mutex
	changed sync.Cond
	room    int // negative: any
	taken   []byte
	closed  bool
	onWrite func(p []byte) // takes everything in place of taken; nil: taken does
}

// connect opens a connection that writes to a fake socket, and joins nothing.
func connect(t testing.TB, hub *Hub, waits bool) (*Conn, *fakeSocket) {
	near, far := net.Pipe()
	go func() { _, _, _ = dialerOver(near).Dial("ws://hub", nil) }()
	r, err := http.ReadRequest(bufio.NewReader(far))
	require.NoError(t, err)
	hijacked := &hijacker{ResponseWriter: pipeWriter{httptest.NewRecorder(), far}, hub: hub}
	require.NoError(t, hub.conns.reserve())
	ws, err := hub.upgrader.Upgrade(hijacked, r, nil)
	require.NoError(t, err)
	socket := &fakeSocket{Conn: far, room: -1}
	socket.changed.L = &socket.mu
	hijacked.socket.Conn = socket
	if waits {
		hijacked.socket.Conn = struct{ net.Conn }{socket} // without TryWrite
	}
	c := newConn(hub, ws, hijacked.socket, Identity{})
	c.start(nil)
	t.Cleanup(func() { _ = near.Close() })
	return c, socket
}

// TryWrite implements fanout.TryWriter.
func (s *fakeSocket) TryWrite(p []byte) (int, error) {
	if s.onWrite != nil {
		s.onWrite(p)
		return len(p), nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.take(p)
}

func (s *fakeSocket) take(p []byte) (int, error) {
	if s.closed {
		return 0, io.ErrClosedPipe
	}
	if s.room >= 0 {
		p = p[:min(s.room, len(p))]
		s.room -= len(p)
	}
	s.taken = append(s.taken, p...)
	return len(p), nil
}

// Write implements net.Conn.
func (s *fakeSocket) Write(p []byte) (written int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		n, err := s.take(p[written:])
		if written += n; err != nil || written == len(p) {
			return written, err
		}
		s.changed.Wait()
	}
}

// setRoom lets the socket take n bytes more, any for a negative n.
func (s *fakeSocket) setRoom(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.room = n
	s.changed.Broadcast()
}

// Close implements net.Conn.
func (s *fakeSocket) Close() error {
	s.mu.Lock()
	s.closed = true
	s.changed.Broadcast()
	s.mu.Unlock()
	return s.Conn.Close()
}

// SetWriteDeadline implements net.Conn.
func (s *fakeSocket) SetWriteDeadline(time.Time) error { return nil }

// frames are what was taken: messages, and at the end perhaps a close code.
func (s *fakeSocket) frames(t *testing.T) (messages []string, code int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return parseFrames(t, s.taken)
}

// received is what frames is of what was taken since the last call.
func (s *fakeSocket) received(t *testing.T) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	messages, _ := parseFrames(t, s.taken)
	s.taken = s.taken[:0]
	return messages
}

func parseFrames(t *testing.T, rest []byte) (messages []string, code int) {
	for len(rest) > 0 {
		if code != 0 {
			require.Fail(t, "nothing follows a close frame")
		}
		kind, length, header := rest[0], int(rest[1]), 2
		if length == 126 {
			length, header = int(binary.BigEndian.Uint16(rest[2:])), 4
		}
		if len(rest) < header+length {
			require.Fail(t, "no frame ends half-way")
		}
		payload := rest[header : header+length]
		switch rest = rest[header+length:]; kind {
		case 0x80 | websocket.TextMessage:
			messages = append(messages, string(payload))
		case 0x80 | websocket.CloseMessage:
			code = int(binary.BigEndian.Uint16(payload))
		default:
			require.Fail(t, "unknown frame", "%x", kind)
		}
	}
	return messages, code
}

// quietNow waits until the workers of the hub have nothing to do, and the connections
// nothing to write.
func quietNow(t *testing.T, hub *Hub, conns []*Conn) {
	idle(hub)
	for _, c := range conns {
		require.Eventually(t, func() bool { return c.member.Waiting() == 0 }, 10*time.Second, 50*time.Microsecond)
	}
}
