package rohrpost

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rohrpost/rohrpost/internal/mempipe"
	"github.com/rohrpost/rohrpost/internal/upstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// portable is set by make race, so that the tests cover both ways to write.
var portable = flag.Bool("portable", false, "treat all sockets as those that may wait")

// pipe connects to the hub inside a bubble.
func pipe(t *testing.T, hub *Hub) *websocket.Conn {
	t.Helper()
	ws, _, err := mempipe.Dial(hub.ServeHTTP)
	require.NoError(t, err)
	t.Cleanup(func() { _ = ws.Close() })
	return ws
}

// quiet returns a hub that logs nothing and allows every group.
func quiet(config Config) *Hub { return quietOn(config, (*Hub).newUpstream) }

// quietOn is quiet with another upstream.
func quietOn(config Config, newUpstream func(*Hub, upstream.Receiver) upstream.Upstream) *Hub {
	config.Logger = slog.New(slog.DiscardHandler)
	hub := newHub(config, newUpstream)
	hub.portable = *portable
	hub.Allow("{any}", Anyone)
	return hub
}

func send(t testing.TB, ws *websocket.Conn, text string) {
	t.Helper()
	require.NoError(t, ws.WriteMessage(websocket.TextMessage, []byte(text)))
}

// receive returns the next message. It fails rather than hang where none comes.
func receive(t testing.TB, ws *websocket.Conn) string {
	t.Helper()
	limitWait(ws)
	_, text, err := ws.ReadMessage()
	require.NoError(t, err)
	require.NoError(t, ws.SetReadDeadline(time.Time{}))
	return string(text)
}

// limitWait limits how long a test waits for messages. In a bubble of synctest, whose time is
// another, a test that hangs fails by itself.
func limitWait(ws *websocket.Conn) {
	if _, isReal := ws.NetConn().(*net.TCPConn); isReal {
		_ = ws.SetReadDeadline(time.Now().Add(30 * time.Second)) // an error comes with the read
	}
}

func join(t testing.TB, ws *websocket.Conn, group string) {
	t.Helper()
	send(t, ws, `{"id":1,"type":"subscribe","data":{"group":"`+group+`"}}`)
	require.NoError(t, compareFrame(subscribed(1, group, 0), receive(t, ws)))
}

// subscribed returns the reply to a subscription at an offset.
func subscribed(id int, group string, offset int) string {
	return fmt.Sprintf(`{"id":%d,"type":"subscribe","data":{"group":"%s","epoch":"{{epoch}}","offset":%d}}`, id, group, offset)
}

// closeCode reads to the end and returns the close code of the hub, 0 where none comes.
func closeCode(ws *websocket.Conn) int {
	limitWait(ws)
	for {
		if _, _, err := ws.ReadMessage(); err != nil {
			var closed *websocket.CloseError
			if errors.As(err, &closed) {
				return closed.Code
			}
			return 0
		}
	}
}

// shutDown ends the hub. It fails rather than hang where the hub does not end.
func shutDown(t testing.TB, hub *Hub) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	assert.NoError(t, hub.Shutdown(ctx))
}

// serve returns the WebSocket URL of the hub; both end with the test.
func serve(t testing.TB, hub *Hub) string {
	t.Helper()
	s := httptest.NewServer(hub)
	t.Cleanup(func() {
		shutDown(t, hub)
		s.Close()
	})
	return "ws" + strings.TrimPrefix(s.URL, "http")
}

func dial(t testing.TB, url string) *websocket.Conn {
	t.Helper()
	ws, _, err := websocket.DefaultDialer.Dial(url, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = ws.Close() })
	return ws
}

// panicking cannot be encoded.
type panicking struct{}

func (panicking) MarshalJSON() ([]byte, error) { panic("no JSON today") }
