package rohrpost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestConnectionsAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		config Config
		origin string
		status int
		body   string
		code   string
	}{
		"no places":        {Config{Limits: Limits{MaxConnections: 1}}, "", http.StatusServiceUnavailable, "too many connections", "full"},
		"readable error":   {Config{Authenticate: refuse(Errorf("who are you?"))}, "", http.StatusUnauthorized, "who are you?", "unauthorized"},
		"unreadable error": {Config{Authenticate: refuse(errors.New("secret"))}, "", http.StatusUnauthorized, "Unauthorized", "unauthorized"},
		"panic": {
			Config{Authenticate: func(*http.Request) (Identity, error) { panic("secret") }},
			"",
			http.StatusUnauthorized, "Unauthorized", "unauthorized",
		},
		"foreign origin": {Config{}, "https://elsewhere.example", http.StatusForbidden, "origin not allowed", "origin"},
	} {
		t.Run(name, func(t *testing.T) {
			hub := quiet(test.config)
			address := serve(t, hub)
			if test.config.Limits.MaxConnections > 0 {
				ws := dial(t, address)
				defer func() { _ = ws.Close() }()
			}
			header := http.Header{}
			if test.origin != "" {
				header.Set("Origin", test.origin)
			}
			_, response, err := websocket.DefaultDialer.Dial(address, header)
			require.Error(t, err)
			assert.Equal(t, test.status, response.StatusCode)
			body := make([]byte, 100)
			n, _ := response.Body.Read(body)
			assert.Equal(t, test.body, strings.TrimSpace(string(body[:n])))
			assert.Equal(t, map[string]uint64{test.code: 1}, hub.Stats().Refused)
		})
	}
}

func refuse(err error) func(*http.Request) (Identity, error) {
	return func(*http.Request) (Identity, error) { return Identity{}, err }
}

func TestDeniedLooksAlwaysTheSame(t *testing.T) {
	hub := NewHub(Config{Logger: quiet(Config{}).log, Limits: Limits{AuthorizeTimeout: 10 * time.Millisecond}})
	hub.Allow("error", func(context.Context, *Conn, Params) error { return errors.New("secret") })
	hub.Allow("readable", func(context.Context, *Conn, Params) error { return Errorf("not you") })
	hub.Allow("panic", func(context.Context, *Conn, Params) error { panic("secret") })
	hub.Allow("slow", func(ctx context.Context, _ *Conn, _ Params) error { <-ctx.Done(); return nil })
	ws := dial(t, serve(t, hub))
	for _, data := range []string{
		`{"group":"unknown"}`, `{"group":"error"}`, `{"group":"readable"}`, `{"group":"panic"}`, `{"group":"slow"}`,
		`{"group":"a group"}`, `{"group":""}`, `{"group":5}`, `{"type":"a"}`, `{"type":"a","id":{}}`, `5`, `null`, `{}`,
	} {
		send(t, ws, `{"id":1,"type":"subscribe","data":`+data+`}`)
		assert.Equal(t, `{"id":1,"type":"subscribe","error":"ACCESS_DENIED","error_info":{"code":"access_denied","temporary":false}}`, receive(t, ws), data)
	}
	send(t, ws, `{"id":1,"type":"subscribe"}`)
	assert.Equal(t, `{"id":1,"type":"subscribe","error":"ACCESS_DENIED","error_info":{"code":"access_denied","temporary":false}}`, receive(t, ws))
	assert.Zero(t, hub.Stats().Memberships)
}

func TestUnavailableIsNoRefusal(t *testing.T) {
	var log strings.Builder
	hub := NewHub(Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	var away atomic.Bool
	away.Store(true)
	ask := func() error {
		if away.Load() {
			return fmt.Errorf("%w: the database is away", ErrUnavailable)
		}
		return nil
	}
	hub.Allow("group", func(context.Context, *Conn, Params) error { return ask() })
	hub.Allow("stateful", Anyone)
	hub.SnapshotFor("stateful", func(context.Context, *Conn, SnapshotRequest) (any, error) { return 7, ask() })
	ws := dial(t, serve(t, hub))
	const load = `{"id":1,"type":"subscribe","data":{"group":"stateful","snapshot":true}}`
	send(t, ws, load)
	assert.Equal(t, `{"id":1,"type":"subscribe","error":"UNAVAILABLE","error_info":{"code":"unavailable","temporary":true}}`, receive(t, ws))
	const subscribe = `{"id":1,"type":"subscribe","data":{"group":"group"}}`
	send(t, ws, subscribe)
	assert.Equal(t, `{"id":1,"type":"subscribe","error":"UNAVAILABLE","error_info":{"code":"unavailable","temporary":true}}`, receive(t, ws))
	away.Store(false)
	send(t, ws, subscribe)
	assert.Contains(t, receive(t, ws), `"data":{"group":"group"`)
	send(t, ws, load)
	assert.Contains(t, receive(t, ws), `"snapshot":7`)
	go func() { _ = closeCode(ws) }()
	require.NoError(t, hub.Shutdown(t.Context()))
	assert.Equal(t, 1, strings.Count(log.String(), "the database is away"))
}

func TestHandlersMayFail(t *testing.T) {
	hub := quiet(Config{})
	hub.Handle("panic", func(context.Context, *Conn, *Request) (any, error) { panic("secret") })
	hub.Handle("foreign", func(context.Context, *Conn, *Request) (any, error) { return nil, errors.New("secret") })
	hub.Handle("own", func(context.Context, *Conn, *Request) (any, error) {
		return nil, fmt.Errorf("secret: %w", Errorf("say please"))
	})
	hub.Handle("nan", func(context.Context, *Conn, *Request) (any, error) { return math.NaN(), nil })
	hub.Handle("marshal", func(context.Context, *Conn, *Request) (any, error) { return panicking{}, nil })
	ws := dial(t, serve(t, hub))
	for name, text := range map[string]string{
		"panic": "internal error", "foreign": "internal error", "own": "say please", "nan": "internal error", "marshal": "internal error",
	} {
		send(t, ws, `{"id":7,"type":"`+name+`"}`)
		info := `,"error_info":{"code":"internal","temporary":true}}`
		if name == "own" {
			info = `,"error_info":{"code":"application","temporary":false}}`
		}
		assert.Equal(t, `{"id":7,"type":"`+name+`","error":"`+text+`"`+info, receive(t, ws))
	}
	send(t, ws, `{"id":8,"type":"ping"}`)
	assert.Equal(t, `{"id":8,"type":"pong"}`, receive(t, ws), "the connection lives on")
}

func TestLimitsOfAConnection(t *testing.T) {
	hub := quiet(Config{})
	address := serve(t, hub)
	ws := dial(t, address)
	for i := range 128 {
		join(t, ws, fmt.Sprintf("g-%d", i))
	}
	join(t, ws, "g-0") // again is no error, and takes no place
	send(t, ws, `{"id":1,"type":"subscribe","data":{"group":"one-more"}}`)
	assert.Equal(t, `{"id":1,"type":"subscribe","error":"Too many groups.","error_info":{"code":"too_many_groups","temporary":false}}`, receive(t, ws))
	send(t, ws, `{"id":2,"type":"ping","data":"`+strings.Repeat("x", 65_000)+`"}`)
	assert.Len(t, receive(t, ws), 65_000+len(`{"id":2,"type":"pong","data":""}`))

	send(t, ws, strings.Repeat("x", 64<<10+1))
	assert.Equal(t, websocket.CloseMessageTooBig, closeCode(ws))
	require.Eventually(t, func() bool { return hub.Stats().Memberships == 0 }, 5*time.Second, time.Millisecond)
}

func TestMessagesToGroups(t *testing.T) {
	hub := quiet(Config{})
	ws := dial(t, serve(t, hub))
	join(t, ws, "g")

	encoded := false
	spy := func() any { encoded = true; return nil }
	require.NoError(t, hub.Publish(t.Context(), Change{Group: "nobody", Type: Create, Object: marshalFunc(spy)}))
	assert.False(t, encoded, "a group without members costs nothing")

	err := hub.Publish(t.Context(),
		Change{Group: "g", Type: Create, Object: func() {}},
		Change{Group: "not a group", Type: Create},
		Change{Group: "g"},
		Change{Group: "g", Type: Create, Object: 1})
	require.ErrorContains(t, err, "encode func()")
	require.ErrorContains(t, err, "malformed group name")
	require.ErrorContains(t, err, "no type")
	assert.Contains(t, receive(t, ws), `"data":{"type":"create","group":"g","object":1,"offset":1}}`, "an error does not stop the others")

	require.NoError(t, hub.SendRaw("g", []byte(` {"a": 1} `)))
	assert.Equal(t, `{"a": 1}`, receive(t, ws))
	require.Error(t, hub.SendRaw("g", []byte(`[1]`)))
	require.Error(t, hub.SendRaw("g", []byte(`{"a"`)))
	require.ErrorContains(t, hub.Send("g", Message{}), "Cannot send an empty message.")
	require.Error(t, hub.Send("not a group", Message{Type: "x"}))
	require.Error(t, hub.Send("g", Message{Data: strings.Repeat("x", 1<<20)}), "fits into no queue")
}

type marshalFunc func() any

func (f marshalFunc) MarshalJSON() ([]byte, error) { return json.Marshal(f()) }

func TestConn(t *testing.T) {
	hub := quiet(Config{Authenticate: func(*http.Request) (Identity, error) { return Identity{ID: "ann"}, nil }})
	conns := make(chan *Conn, 1)
	hub.Handle("hello", func(_ context.Context, c *Conn, r *Request) (any, error) {
		conns <- c
		return "ignored", c.SendError(r, Errorf("no"), 5)
	})
	ws := dial(t, serve(t, hub))
	send(t, ws, `{"id":1,"type":"hello"}`)
	assert.Equal(t, `{"id":1,"type":"hello","error":"no","error_info":{"code":"application","temporary":false},"data":5}`, receive(t, ws))
	c := <-conns
	assert.Equal(t, "ann", c.Identity().ID)
	require.NoError(t, c.Join("b"))
	require.NoError(t, c.Join("a"))
	require.NoError(t, c.Join("a"))
	require.Error(t, c.Join("not a group"))
	assert.Equal(t, []string{"a", "b"}, c.Groups())
	c.Leave("a")
	c.Leave("unknown")
	assert.Equal(t, []string{"b"}, c.Groups())
	require.NoError(t, c.Send(Message{ID: "x", Data: json.RawMessage("null")}))
	assert.Equal(t, `{"id":"x","data":null}`, receive(t, ws))
	require.ErrorContains(t, c.SendSuccess(nil, 1), "You have to provide a message ID and handler on success messages.")
	require.Error(t, c.Close(1006, ""))
	require.NoError(t, c.Close(4321, "bye"))
	assert.Equal(t, 4321, closeCode(ws))
	require.ErrorIs(t, c.Send(Message{Type: "x"}), ErrClosed)
	require.ErrorIs(t, c.Join("a"), ErrClosed)
	assert.Empty(t, c.Groups())
}

func TestDoubleRegistrationPanics(t *testing.T) {
	hub := NewHub(Config{})
	assert.PanicsWithValue(t, `Handler for "ping" is already defined`, func() { hub.Handle("ping", hello) })
	hub.Allow("a-{id}", Anyone)
	assert.Panics(t, func() { hub.Allow("a-{other}", Anyone) })
	assert.Panics(t, func() { hub.Allow("{a}{b}", Anyone) })
}

// TestEveryMemberSeesOneOrder publishes from many goroutines while connections
// join, leave and close: what a member sees of a group while it is in has no
// hole and no turn.
func TestEveryMemberSeesOneOrder(t *testing.T) {
	hub := quiet(Config{})
	address := serve(t, hub)
	var stop atomic.Bool
	var publishers, members sync.WaitGroup
	for group := range 4 {
		var order sync.Mutex // numbers are given in the order of sending
		n := 0
		for range 2 {
			publishers.Go(func() {
				for !stop.Load() {
					order.Lock()
					n++
					err := hub.Send(fmt.Sprintf("g-%d", group), Message{ID: n, Type: fmt.Sprintf("g-%d", group)})
					order.Unlock()
					if !assert.NoError(t, err) {
						return
					}
					time.Sleep(20 * time.Microsecond)
				}
			})
		}
	}
	for range 8 {
		members.Go(func() {
			for round := 0; !stop.Load(); round++ {
				if !readInOrder(t, address, round) {
					return
				}
			}
		})
	}
	time.Sleep(1500 * time.Millisecond)
	stop.Store(true)
	publishers.Wait()
	members.Wait()
	assert.Zero(t, hub.Stats().SlowConsumers)
}

// readInOrder joins two groups, reads a while and closes, abruptly every other time.
func readInOrder(t *testing.T, address string, round int) bool {
	ws, _, err := websocket.DefaultDialer.Dial(address, nil)
	if !assert.NoError(t, err) {
		return false
	}
	defer func() { _ = ws.Close() }()
	for _, group := range []int{round % 4, (round + 1) % 4} {
		if !assert.NoError(t, ws.WriteJSON(map[string]any{"id": 0, "type": "subscribe", "data": map[string]string{"group": fmt.Sprintf("g-%d", group)}})) {
			return false
		}
	}
	last := map[string]int{}
	_ = ws.SetReadDeadline(time.Now().Add(time.Second))
	for range 300 {
		var message struct {
			ID   int
			Type string
		}
		if ws.ReadJSON(&message) != nil {
			return true // the publishers have stopped
		}
		if message.ID == 0 {
			continue
		}
		if before := last[message.Type]; before > 0 && !assert.Equal(t, before+1, message.ID) {
			return false
		}
		last[message.Type] = message.ID
	}
	if round%2 == 0 {
		_ = ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
	}
	return true
}
