package rohrpost

import (
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rohrpost/rohrpost/internal/mempipe"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fakeSocket takes as many bytes as it has room for. Write waits for room, as with a
// real socket.
type fakeSocket struct {
	net.Conn // the connection of the handshake

	mu      sync.Mutex
	changed sync.Cond
	room    int // negative: any
	taken   []byte
	blocked bool // a Write waits for room
	closed  bool
	onWrite func(p []byte) // called instead of appending to taken, unless it is nil
}

// connect opens a connection that writes to a fake socket and is in no group.
func connect(t testing.TB, hub *Hub, waits bool) (*Conn, *fakeSocket) {
	require.NoError(t, hub.conns.Reserve())
	var hijacked *hijacker
	client, _, err := mempipe.Dial(func(w http.ResponseWriter, r *http.Request) {
		hijacked = &hijacker{ResponseWriter: w}
		_, err := hub.upgrader.Upgrade(hijacked, r, nil)
		assert.NoError(t, err)
	})
	require.NoError(t, err)
	socket := &fakeSocket{Conn: hijacked.conn, room: -1}
	socket.changed.L = &socket.mu
	own := newSocket(hijacked.conn, &hub.buffers, hub.portable)
	own.Conn = socket
	if waits {
		own.Conn = struct{ net.Conn }{socket} // without TryWrite
	}
	c := newConn(hub, own, newCredentials(Identity{}, tokenHash{}))
	c.start(nil, 0)
	t.Cleanup(func() { _ = client.Close() })
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
		s.blocked = true
		s.changed.Wait()
		s.blocked = false
	}
}

// setRoom lets the socket take n bytes more, any for a negative n.
func (s *fakeSocket) setRoom(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.room = n
	s.changed.Broadcast()
}

// awaitBlocked waits until a Write waits for room.
func (s *fakeSocket) awaitBlocked(t *testing.T) {
	require.Eventually(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.blocked
	}, 10*time.Second, 50*time.Microsecond)
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

// frames returns the messages that the socket has taken, and the close code if there is one.
func (s *fakeSocket) frames(t *testing.T) (messages []string, code int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return parseFrames(t, s.taken)
}

// received returns the messages that the socket has taken since the last call.
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
			require.Fail(t, "a frame follows a close frame")
		}
		kind, length, header := rest[0], int(rest[1]), 2
		if length == 126 {
			length, header = int(binary.BigEndian.Uint16(rest[2:])), 4
		}
		if len(rest) < header+length {
			require.Fail(t, "a frame is not complete")
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

// quietNow waits until the workers of the hub are idle and the connections have
// written everything.
func quietNow(t *testing.T, hub *Hub, conns []*Conn) {
	idle(hub)
	for _, c := range conns {
		require.Eventually(t, func() bool { return c.member.Waiting() == 0 }, 10*time.Second, 50*time.Microsecond)
	}
}
