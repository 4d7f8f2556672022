package rohrpost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// excessive plays a client that sends again and again until the hub closes the connection.
// It returns the close error, what was sent, and how long that took.
func excessive(t *testing.T, hub *Hub, once func(ws *websocket.Conn, i int) error) (closed *websocket.CloseError, sent int, took time.Duration) {
	ws := pipe(t, hub)
	began := time.Now()
	done := make(chan *websocket.CloseError, 1)
	ws.SetCloseHandler(func(int, string) error { return nil }) // an answer would wait for what is being written
	go func() {
		for {
			if _, _, err := ws.ReadMessage(); err != nil {
				var closed *websocket.CloseError
				errors.As(err, &closed)
				took = time.Since(began)
				done <- closed
				return
			}
		}
	}()
	for sent = 0; sent < 1_000_000; sent++ {
		_ = ws.SetWriteDeadline(time.Now().Add(30 * time.Second))
		if once(ws, sent) != nil {
			break
		}
	}
	closed = <-done
	synctest.Wait()
	require.NoError(t, hub.Shutdown(context.Background()))
	return closed, sent, took
}

func sendText(text string) func(*websocket.Conn, int) error {
	return func(ws *websocket.Conn, _ int) error { return ws.WriteMessage(websocket.TextMessage, []byte(text)) }
}

// A client that exceeds a budget is closed with 4029, and told when to come again.
func TestExcessIsCut(t *testing.T) {
	ping := `{"id":1,"type":"ping"}`
	for name, test := range map[string]struct {
		once       func(ws *websocket.Conn, i int) error
		code       string
		close      int
		least      int // that the client may send
		most       int
		atLeast    time.Duration
		atMost     time.Duration
		retryAfter float64
	}{
		"pings":    {func(ws *websocket.Conn, _ int) error { return ws.WriteMessage(websocket.PingMessage, nil) }, "control_frames", 4029, 100, 102, 0, 0, 5},
		"pongs":    {func(ws *websocket.Conn, _ int) error { return ws.WriteMessage(websocket.PongMessage, nil) }, "control_frames", 4029, 100, 102, 0, 0, 5},
		"messages": {sendText(ping), "messages", 4029, 1024, 1024 + 120, 900 * time.Millisecond, 1150 * time.Millisecond, 5},
		"bytes":    {sendText(`{"id":1,"type":"ping","data":"` + strings.Repeat("x", 32<<10) + `"}`), "bytes", 4029, 31, 42, 800 * time.Millisecond, 1150 * time.Millisecond, 5},
		"empty continuation frames": {
			func(ws *websocket.Conn, i int) error {
				next := frame{first: cont}
				if i == 0 {
					next = frame{first: text, payload: []byte(`{`)}
				}
				_, err := ws.NetConn().Write(next.bytes())
				return err
			},
			"messages", 4029, 1024, 1024 + 120, 900 * time.Millisecond, 1150 * time.Millisecond, 5,
		},
		"malformed": {sendText(`{`), "protocol_errors", 1008, 10, 200, 0, 0, 0},
		"empty":     {sendText(``), "protocol_errors", 1008, 10, 200, 0, 0, 0},
		"binary":    {func(ws *websocket.Conn, _ int) error { return ws.WriteMessage(websocket.BinaryMessage, nil) }, "protocol_errors", 1008, 10, 200, 0, 0, 0},
		"guesses": {
			func(ws *websocket.Conn, i int) error {
				return ws.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"id":1,"type":"subscribe","data":{"group":"secret-%d"}}`, i))
			},
			"refused_groups", 4029, 50, 250, 0, 0, 5,
		},
		"malformed guesses": {
			func(ws *websocket.Conn, i int) error {
				return ws.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"id":1,"type":"subscribe","data":{"group":"no group %d"}}`, i))
			},
			"refused_groups", 4029, 50, 250, 0, 0, 5,
		},
		"unfinished message": {
			func(ws *websocket.Conn, i int) error {
				if i == 0 {
					_, err := ws.NetConn().Write(frame{first: text, payload: []byte(`{"id`)}.bytes())
					return err
				}
				time.Sleep(3 * time.Second)
				return ws.WriteMessage(websocket.PingMessage, nil)
			},
			"message_time", 4029, 4, 4, 10 * time.Second, 12 * time.Second, 5,
		},
		"unfinished frame": {
			func(ws *websocket.Conn, i int) error {
				if i == 0 {
					_, err := ws.NetConn().Write([]byte{fin | text, 0xFE})
					return err
				}
				time.Sleep(3 * time.Second)
				_, err := ws.NetConn().Write([]byte{1})
				return err
			},
			"message_time", 4029, 4, 4, 10 * time.Second, 12 * time.Second, 5,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hub := quiet(Config{PingInterval: -1})
				hub.Allow("secret-{n}", func(context.Context, *Conn, Params) error { return Errorf("no") })
				closed, sent, took := excessive(t, hub, test.once)
				require.NotNil(t, closed)
				assert.Equal(t, test.close, closed.Code)
				var reason struct {
					Code       string
					RetryAfter float64 `json:"retry_after"`
				}
				require.NoError(t, json.Unmarshal([]byte(closed.Text), &reason))
				assert.Equal(t, test.code, reason.Code)
				assert.Equal(t, test.retryAfter, reason.RetryAfter)
				assert.GreaterOrEqual(t, sent, test.least)
				assert.LessOrEqual(t, sent, test.most)
				assert.GreaterOrEqual(t, took, test.atLeast)
				assert.LessOrEqual(t, took, test.atMost)
				assert.EqualValues(t, 1, hub.Stats().Refused[test.code])
				assert.EqualValues(t, 1, hub.Stats().Closed[fmt.Sprint(test.close)])
			})
		})
	}
}

// A client that keeps to the rates is not closed, however long it goes on.
func TestRatesAreKept(t *testing.T) {
	for name, test := range map[string]struct {
		every time.Duration
		text  string
		kind  int
		burst int // at first
	}{
		"pings":             {100 * time.Millisecond, "", websocket.PingMessage, 90},
		"messages":          {10 * time.Millisecond, `{"id":1,"type":"ping"}`, websocket.TextMessage, 1000},
		"bytes":             {250 * time.Millisecond, `{"id":1,"type":"ping","data":"` + strings.Repeat("x", 60<<10) + `"}`, websocket.TextMessage, 10},
		"malformed":         {59 * time.Second, `{`, websocket.TextMessage, 5},
		"one refused group": {100 * time.Millisecond, `{"id":1,"type":"subscribe","data":{"group":"secret-1"}}`, websocket.TextMessage, 200},
		"cursor messages":   {time.Second / 30, `{"id":1,"type":"ping","auth_jwt":"` + strings.Repeat("x", 2<<10) + `"}`, websocket.TextMessage, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hub := quiet(Config{PingInterval: -1})
				hub.Allow("secret-{n}", func(context.Context, *Conn, Params) error { return Errorf("no") })
				ws := pipe(t, hub)
				go func() { _ = closeCode(ws) }()
				for range test.burst {
					require.NoError(t, ws.WriteMessage(test.kind, []byte(test.text)))
				}
				for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(test.every) {
					require.NoError(t, ws.WriteMessage(test.kind, []byte(test.text)))
				}
				assert.Empty(t, hub.Stats().Closed)
				require.NoError(t, hub.Shutdown(context.Background()))
			})
		})
	}
}

// A frame that comes in pieces is whole in time, and so is what comes long after it.
func TestPiecesInTime(t *testing.T) {
	for name, f := range map[string]frame{
		"ping": {first: fin | pingFrame, payload: []byte("a")}, "text": {first: fin | text, payload: []byte(`{"id":1,"type":"ping"}`)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hub := quiet(Config{PingInterval: -1})
				ws := pipe(t, hub)
				go func() { _ = closeCode(ws) }()
				for range 3 {
					for _, b := range f.bytes() {
						_, err := ws.NetConn().Write([]byte{b})
						require.NoError(t, err)
						time.Sleep(300 * time.Millisecond)
					}
					time.Sleep(50 * time.Second)
				}
				assert.Equal(t, 1, hub.Stats().Connections)
				require.NoError(t, hub.Shutdown(context.Background()))
			})
		})
	}
}

// Requests are refused by the dispatcher and by the goroutines beside it, at the same time:
// each refusal counts once.
func TestRefusalsBesideRequestsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const burst = 64
		hub := quiet(calm(Config{Limits: Limits{RefusedGroups: Rate{PerSecond: 1, Burst: burst}}}))
		ws := pipe(t, hub)
		join(t, ws, "g")
		c := hub.conns.All()[0]
		var all sync.WaitGroup
		for i := range burst {
			all.Go(func() { c.countRefusal(fmt.Sprint("g-", i)) })
			all.Go(func() { c.countRefusal(fmt.Sprint("g-", i)) })
		}
		all.Wait()
		send(t, ws, `{"id":1,"type":"ping"}`)
		assert.Equal(t, `{"id":1,"type":"pong"}`, receive(t, ws))
		c.countRefusal("one more")
		_, _, err := ws.ReadMessage()
		assert.True(t, websocket.IsCloseError(err, 4029), err)
		require.NoError(t, errors.Join(ws.Close(), hub.Shutdown(context.Background())))
	})
}
