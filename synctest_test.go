package rohrpost

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rohrpost/rohrpost/internal/upstream"
	"github.com/rohrpost/rohrpost/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// portable runs the tests over real sockets by the way that all others take.
var portable = flag.Bool("portable", false, "do not use what only some sockets can do")

// pipeWriter is an http.ResponseWriter whose connection is one end of a pipe:
// real sockets would stop the clock of a synctest bubble.
type pipeWriter struct {
	*httptest.ResponseRecorder
	conn net.Conn
}

func (w pipeWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.conn, bufio.NewReadWriter(bufio.NewReader(w.conn), bufio.NewWriter(w.conn)), nil
}

// pipe connects to the hub inside a bubble.
func pipe(t *testing.T, hub *Hub) *websocket.Conn {
	t.Helper()
	near, far := net.Pipe()
	go func() {
		r, err := http.ReadRequest(bufio.NewReader(far))
		if assert.NoError(t, err) {
			hub.ServeHTTP(pipeWriter{httptest.NewRecorder(), far}, r)
		}
	}()
	ws, _, err := dialerOver(near).Dial("ws://hub", nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = near.Close() })
	return ws
}

func dialerOver(conn net.Conn) *websocket.Dialer {
	return &websocket.Dialer{NetDialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}
}

func quiet(config Config) *Hub { return quietOn(config, (*Hub).newUpstream) }

// quietOn is quiet with another upstream.
func quietOn(config Config, newUpstream func(*Hub) upstream.Upstream) *Hub {
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

func receive(t testing.TB, ws *websocket.Conn) string {
	t.Helper()
	_, text, err := ws.ReadMessage()
	require.NoError(t, err)
	return string(text)
}

func join(t testing.TB, ws *websocket.Conn, group string) {
	t.Helper()
	send(t, ws, `{"id":1,"type":"subscribe","data":{"group":"`+group+`"}}`)
	require.NoError(t, compareFrame(subscribed(1, group, 0), receive(t, ws)))
}

// subscribed is the answer to a subscription at an offset.
func subscribed(id int, group string, offset int) string {
	return fmt.Sprintf(`{"id":%d,"type":"subscribe","data":{"group":"%s","epoch":"{{epoch}}","offset":%d}}`, id, group, offset)
}

// closeCode reads to the end and returns the code the hub closed with.
func closeCode(ws *websocket.Conn) int {
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

func TestServerPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := quiet(Config{})
		ws := pipe(t, hub)
		start := time.Now()
		var pings []time.Duration
		ws.SetPingHandler(func(data string) error {
			pings = append(pings, time.Since(start))
			return ws.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(time.Second))
		})
		go func() { time.Sleep(10 * time.Minute); _ = hub.Shutdown(context.Background()) }()
		assert.Equal(t, websocket.CloseGoingAway, closeCode(ws))
		assert.Equal(t, 10*time.Minute, time.Since(start), "a peer that answers stays")
		require.Greater(t, len(pings), 20)
		assert.Equal(t, 25*time.Second, pings[0])
		assert.Equal(t, 25*time.Second, pings[1]-pings[0])
	})
}

func TestDeadPeerIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := quiet(Config{})
		ws := pipe(t, hub)
		join(t, ws, "g")
		ws.SetPingHandler(func(string) error { return nil }) // hears, but says nothing
		start := time.Now()
		_ = closeCode(ws)
		assert.Equal(t, 60*time.Second, time.Since(start))
		synctest.Wait()
		assert.Zero(t, hub.Stats().Memberships, "it has left its groups at once")
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}

// rohrpost-js answers the pings of WebSocket too, but a JSON ping alone is life.
func TestJSONPingsAreLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := quiet(Config{})
		ws := pipe(t, hub)
		ws.SetPingHandler(func(string) error { return nil })
		for range 60 {
			time.Sleep(5 * time.Second)
			send(t, ws, `{"type":"ping","id":1700000000000}`)
			require.Equal(t, `{"id":1700000000000,"type":"pong"}`, receive(t, ws))
		}
		assert.Equal(t, 1, hub.Stats().Connections)
		go func() { _ = closeCode(ws) }()
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}

func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := quiet(Config{})
		ws := pipe(t, hub)
		join(t, ws, "g")
		for range 3 {
			require.NoError(t, hub.Send("g", Message{ID: 1, Type: "x"}))
		}
		done := make(chan error, 2)
		go func() { done <- hub.Shutdown(context.Background()) }()
		for range 3 { // what waits is flushed
			assert.Equal(t, `{"id":1,"type":"x","group":"g"}`, receive(t, ws))
		}
		assert.Equal(t, websocket.CloseGoingAway, closeCode(ws))
		require.NoError(t, <-done)
		require.NoError(t, hub.Shutdown(context.Background()), "again")

		refused := httptest.NewRecorder()
		hub.ServeHTTP(refused, httptest.NewRequest(http.MethodGet, "/", nil))
		assert.Equal(t, http.StatusServiceUnavailable, refused.Code)
		assert.NotEmpty(t, refused.Header().Get("Retry-After"))
		require.ErrorIs(t, hub.Send("g", Message{Type: "x"}), ErrClosed)
		require.ErrorIs(t, hub.Publish(context.Background(), Change{Group: "g", Type: Create}), ErrClosed)
	})
}

func TestShutdownCutsWhoDoesNotGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := quiet(Config{})
		_ = pipe(t, hub) // never reads
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		require.ErrorIs(t, hub.Shutdown(ctx), context.DeadlineExceeded)
		synctest.Wait()
		assert.Zero(t, hub.Stats().Connections)
	})
}

func TestSlowConsumerIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := quiet(Config{Limits: Limits{MaxSendQueueBytes: 4 << 10}})
		slow, fast := pipe(t, hub), pipe(t, hub)
		join(t, slow, "g")
		join(t, fast, "g")
		text := strings.Repeat("x", 1000)
		for i := range 20 {
			require.NoError(t, hub.Send("g", Message{ID: i, Data: text}))
			var message struct{ ID int }
			require.NoError(t, json.Unmarshal([]byte(receive(t, fast)), &message))
			require.Equal(t, i, message.ID, "nobody else notices")
		}
		synctest.Wait()
		assert.EqualValues(t, 1, hub.Stats().SlowConsumers)
		assert.Equal(t, 1, hub.Stats().Memberships, "it has left its groups at once")
		assert.Equal(t, wire.CloseSlowConsumer, closeCode(slow))
		go func() { _ = closeCode(fast) }()
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}

func TestStalledWriteEndsAtItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := quiet(Config{})
		ws := pipe(t, hub)
		join(t, ws, "g")
		require.NoError(t, hub.Send("g", Message{Type: "x"})) // and the peer does not read
		time.Sleep(9 * time.Second)
		assert.Equal(t, 1, hub.Stats().Connections)
		time.Sleep(2 * time.Second)
		assert.Zero(t, hub.Stats().Connections)
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}

// What has waited too long is no news any more, even if it is little.
func TestOldMessagesCloseAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := quiet(Config{PingInterval: -1, Limits: Limits{WriteTimeout: 50 * time.Second, IdleTimeout: -1}})
		ws := pipe(t, hub)
		join(t, ws, "g")
		require.NoError(t, hub.Send("g", Message{ID: 1, Type: "x"}))
		synctest.Wait() // it is being written
		require.NoError(t, hub.Send("g", Message{ID: 2, Type: "x"}))
		time.Sleep(29 * time.Second)
		assert.Equal(t, `{"id":1,"type":"x","group":"g"}`, receive(t, ws))
		assert.Equal(t, `{"id":2,"type":"x","group":"g"}`, receive(t, ws), "in time")

		require.NoError(t, hub.Send("g", Message{ID: 3, Type: "x"}))
		synctest.Wait()
		require.NoError(t, hub.Send("g", Message{ID: 4, Type: "x"}))
		time.Sleep(31 * time.Second)
		assert.Equal(t, `{"id":3,"type":"x","group":"g"}`, receive(t, ws))
		assert.Equal(t, wire.CloseSlowConsumer, closeCode(ws))
		assert.EqualValues(t, 1, hub.Stats().SlowConsumers)
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}

func TestIdentityExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := quiet(Config{Authenticate: func(*http.Request) (Identity, error) {
			return Identity{ID: "ann", Expires: time.Now().Add(90 * time.Second)}, nil
		}})
		ws := pipe(t, hub)
		start := time.Now()
		assert.Equal(t, wire.CloseExpired, closeCode(ws))
		assert.Equal(t, 90*time.Second, time.Since(start))
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}

func TestLaterIsAnsweredOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := quiet(Config{Limits: Limits{RequestTimeout: 5 * time.Second}})
		hub.Handle("soon", func(_ context.Context, c *Conn, r *Request) (any, error) {
			time.AfterFunc(time.Second, func() {
				assert.NoError(t, c.SendSuccess(r, "done"))
				assert.ErrorIs(t, c.SendSuccess(r, "twice"), ErrAnswered)
			})
			return Later, nil
		})
		hub.Handle("never", func(context.Context, *Conn, *Request) (any, error) { return nil, Later })
		ws := pipe(t, hub)
		send(t, ws, `{"id":1,"type":"never"}`)
		send(t, ws, `{"id":2,"type":"soon"}`)
		send(t, ws, `{"id":3,"type":"ping"}`)
		start := time.Now()
		assert.Equal(t, `{"id":3,"type":"pong"}`, receive(t, ws), "the order is free")
		assert.Equal(t, `{"id":2,"type":"soon","data":"done"}`, receive(t, ws))
		assert.Equal(t, `{"id":1,"type":"never","error":"The request timed out.","error_info":{"code":"timeout","temporary":true}}`, receive(t, ws))
		assert.Equal(t, 5*time.Second, time.Since(start))
		go func() { _ = closeCode(ws) }()
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}

func TestSlowHandlerHearsOfTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := quiet(Config{Limits: Limits{RequestTimeout: -1}})
		told := make(chan error, 1)
		hub.Handle("wait", func(ctx context.Context, _ *Conn, _ *Request) (any, error) {
			<-ctx.Done()
			told <- ctx.Err()
			return nil, ctx.Err()
		})
		ws := pipe(t, hub)
		send(t, ws, `{"id":1,"type":"wait"}`)
		go func() { _ = closeCode(ws) }()
		time.Sleep(3 * time.Minute) // pings go on meanwhile, or it were dead
		assert.Equal(t, 1, hub.Stats().Connections)
		require.NoError(t, ws.Close())
		require.ErrorIs(t, <-told, context.Canceled)
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}
