package rohrpost

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/budget"
	"github.com/rohrpost/rohrpost/internal/mempipe"
	"github.com/rohrpost/rohrpost/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// callbacks is the code of a program. One call of it fails: that with the number at.
type callbacks struct {
	at   int
	fail func(ctx context.Context) error

	hangs bool // fail does not return soon

	mu     sync.Mutex // guards what follows
	called []string
	failed string // the call that has failed
	armed  bool
	fired  chan struct{} // closed when a call fails
}

// call is called by all code of the program.
func (f *callbacks) call(ctx context.Context, name string) error {
	f.mu.Lock()
	if f.armed {
		f.called = append(f.called, name)
	}
	fails := f.armed && len(f.called) == f.at
	if fails {
		f.failed = name
	}
	f.mu.Unlock()
	if fails {
		close(f.fired)
		return f.fail(ctx)
	}
	return nil
}

func (f *callbacks) arm(armed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed = armed
}

// MarshalJSON is a payload of the program.
func (f *callbacks) MarshalJSON() ([]byte, error) {
	return []byte("[1]"), f.call(context.Background(), "MarshalJSON")
}

// refusal is an error of the program.
type refusal struct{ *callbacks }

func (r refusal) Error() string { _ = r.call(context.Background(), "Error"); return "no" }

func (r refusal) Unwrap() error { return r.call(context.Background(), "Unwrap") }

func (r refusal) Is(error) bool { return r.call(context.Background(), "Is") != nil }

func (r refusal) As(any) bool { return r.call(context.Background(), "As") != nil }

// callbackLog is the log handler of the program.
type callbackLog struct {
	slog.Handler
	*callbacks
}

func (l callbackLog) Enabled(context.Context, slog.Level) bool { return true }

func (l callbackLog) Handle(ctx context.Context, _ slog.Record) error { return l.call(ctx, "log") }

// callbackBroker is the broker of the program.
type callbackBroker struct {
	*MemoryBroker
	*callbacks
}

func (b callbackBroker) Run(ctx context.Context, ready func(), deliver func([]broker.Message)) error {
	if err := b.call(ctx, "Run"); err != nil {
		return err
	}
	return b.MemoryBroker.Run(ctx, ready, deliver)
}

func (b callbackBroker) Publish(ctx context.Context, batches []broker.Batch) error {
	if err := b.call(ctx, "Publish"); err != nil {
		return err
	}
	return b.MemoryBroker.Publish(ctx, batches)
}

func (b callbackBroker) Signal(ctx context.Context, messages []broker.Message) error {
	if err := b.call(ctx, "Signal"); err != nil {
		return err
	}
	return b.MemoryBroker.Signal(ctx, messages)
}

func (b callbackBroker) Follow(ctx context.Context, streams []string) ([]broker.Position, error) {
	if err := b.call(ctx, "Follow"); err != nil {
		return nil, err
	}
	return b.MemoryBroker.Follow(ctx, streams)
}

func (b callbackBroker) Unfollow(ctx context.Context, streams []string) error {
	if err := b.call(ctx, "Unfollow"); err != nil {
		return err
	}
	return b.MemoryBroker.Unfollow(ctx, streams)
}

func (b callbackBroker) Read(ctx context.Context, stream string, after uint64, limit int) (broker.History, error) {
	name := "Read"
	if strings.HasPrefix(stream, "!") {
		name = "Read orders"
	}
	if err := b.call(ctx, name); err != nil {
		return broker.History{}, err
	}
	return b.MemoryBroker.Read(ctx, stream, after, limit)
}

func (b callbackBroker) Positions(ctx context.Context, streams []string) ([]broker.Position, error) {
	if err := b.call(ctx, "Positions"); err != nil {
		return nil, err
	}
	return b.MemoryBroker.Positions(ctx, streams)
}

// hub returns a hub all of whose user code is f.
func (f *callbacks) hub() *Hub {
	hub := NewHub(Config{
		Logger: slog.New(callbackLog{slog.DiscardHandler, f}),
		Broker: callbackBroker{NewMemoryBroker(HistoryLimits{}), f},
		Authenticate: func(r *http.Request) (Identity, error) {
			return Identity{ID: "ann"}, f.call(r.Context(), "Authenticate")
		},
		AuthenticateToken: func(ctx context.Context, _ string) (Identity, error) {
			return Identity{ID: "ann"}, f.call(ctx, "AuthenticateToken")
		},
		OnConnect:    func(ctx context.Context, _ *Conn) error { return f.call(ctx, "OnConnect") },
		OnDisconnect: func(c *Conn, _ int, _ string) { _ = f.call(c.Context(), "OnDisconnect") },
		GroupOf: func(ctx context.Context, _ *Conn, data json.RawMessage) (string, error) {
			var d struct{ Group string }
			if err := f.call(ctx, "GroupOf"); err != nil {
				return "", err
			}
			err := json.Unmarshal(data, &d)
			return d.Group, err
		},
	})
	hub.decoders = budget.NewSlots(1) // as with one processor: code of a program that hangs may hold none
	hub.Allow("{any}", func(ctx context.Context, _ *Conn, _ Params) error { return f.call(ctx, "Allow") })
	hub.Snapshot("shared-{n}", func(ctx context.Context, _ SnapshotRequest) (any, error) { return f, f.call(ctx, "Snapshot") })
	hub.SnapshotFor("own-{n}", func(ctx context.Context, _ *Conn, _ SnapshotRequest) (any, error) {
		return f, f.call(ctx, "SnapshotFor")
	})
	hub.Use(func(next HandlerFunc) HandlerFunc {
		return func(ctx context.Context, c *Conn, r *Request) (any, error) {
			if err := f.call(ctx, "middleware"); err != nil {
				return nil, err
			}
			return next(ctx, c, r)
		}
	})
	hub.Handle("work", func(ctx context.Context, _ *Conn, _ *Request) (any, error) { return f, f.call(ctx, "handler") })
	hub.Handle("refuse", func(context.Context, *Conn, *Request) (any, error) { return nil, refusal{f} })
	return hub
}

// victim plays a connection that meets all code of the program. It returns the requests
// without a reply, and the code with which the hub has closed the connection, else 0.
func (f *callbacks) victim(hub *Hub) (unanswered []string, code int) {
	ws, _, err := mempipe.Dial(hub.ServeHTTP)
	if err != nil {
		return nil, 0
	}
	ask := func(text string) {
		_ = ws.WriteMessage(websocket.TextMessage, []byte(text))
		_ = ws.SetReadDeadline(time.Now().Add(70 * time.Second))
		for {
			_, reply, err := ws.ReadMessage()
			if err != nil {
				var closed *websocket.CloseError
				if errors.As(err, &closed) {
					code = closed.Code
				}
				unanswered = append(unanswered, text)
				return
			}
			if bytes.HasPrefix(reply, []byte(text[:len(`{"id":1,`)])) {
				return
			}
		}
	}
	since := fmt.Sprintf(`"since":{"epoch":%q,"offset":0}`, f.epoch(hub))
	ask(`{"id":0,"type":"rohrpost:hello","data":{"version":1,"token":"first"}}`)
	ask(`{"id":1,"type":"work","auth_jwt":"second"}`)
	ask(`{"id":2,"type":"refuse"}`)
	ask(`{"id":3,"type":"subscribe","data":{"group":"g",` + since + `}}`)
	ask(`{"id":4,"type":"subscribe","data":{"group":"shared-1","snapshot":true}}`)
	ask(`{"id":5,"type":"subscribe","data":{"group":"own-1","snapshot":true}}`)
	_ = hub.Publish(context.Background(), Change{Group: "g", Type: Update, Object: f})
	_ = hub.Send("g", Message{Data: f})
	ask(`{"id":6,"type":"unsubscribe","data":{"group":"g"}}`)
	time.Sleep(2 * 8 * time.Second) // the hub asks for positions
	_ = ws.Close()
	time.Sleep(time.Second) // the hub calls OnDisconnect
	return unanswered, code
}

func (f *callbacks) epoch(hub *Hub) string {
	at, _ := hub.Position(context.Background(), "g")
	return at.Epoch
}

// served expects that another connection gets its answers. It may not become a member while
// the hub cannot read the orders of other hubs: these may have revoked its right.
func served(t *testing.T, hub *Hub, shared string, closed bool) {
	ws, _, err := mempipe.Dial(hub.ServeHTTP)
	require.NoError(t, err)
	defer func() { _ = ws.Close() }()
	require.NoError(t, ws.SetReadDeadline(time.Now().Add(20*time.Second)))
	for request, want := range map[string]string{
		`{"id":1,"type":"ping"}`:                                `{"id":1,"type":"pong"}`,
		`{"id":2,"type":"work"}`:                                `{"id":2,"type":"work","data":[1]}`,
		`{"id":3,"type":"subscribe","data":{"group":"others"}}`: subscribed(3, "others", 0),
		`{"id":4,"type":"subscribe","data":{"group":"` + shared + `","snapshot":true}}`: `{"id":4,"type":"subscribe","data":{"group":"` + shared +
			`","epoch":"{{epoch}}","offset":0,"snapshot":[1]}}`,
	} {
		send(t, ws, request)
		_, got, err := ws.ReadMessage()
		require.NoError(t, err, request)
		if closed && strings.Contains(request, "subscribe") && strings.Contains(string(got), `"unavailable"`) {
			continue
		}
		assert.NoError(t, compareFrame(want, string(got)))
	}
}

// play plays the victim beside others. It returns the calls of the program's code, and what
// victim returns.
func (f *callbacks) play(t *testing.T, freed chan struct{}) (calls, unanswered []string, code int) {
	hub := f.hub()
	f.arm(true)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		unanswered, code = f.victim(hub)
	}()
	select {
	case <-f.fired:
	case <-gone:
	}
	f.arm(false) // the program fails once
	f.mu.Lock()
	closed := f.hangs && f.failed == "Read orders"
	f.mu.Unlock()
	served(t, hub, "shared-2", closed)
	if !f.hangs {
		<-gone
		served(t, hub, "shared-1", false) // the group of the victim
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	_ = hub.Shutdown(ctx) // returns, perhaps with the error of ctx
	close(freed)
	<-gone
	require.NoError(t, hub.Shutdown(context.Background()), "everything has ended")
	return f.called, unanswered, code
}

// endsConnection reports whether the hub closes a connection because the function of the
// program fails: without an identity and without OnConnect it must not go on.
func endsConnection(name string) bool { return name == "AuthenticateToken" || name == "OnConnect" }

// Each call of the program's code and of its broker fails in each way once. The process
// goes on, others are served, and Shutdown returns.
func TestEveryCallFails(t *testing.T) {
	var calls []string
	synctest.Test(t, func(t *testing.T) {
		f := &callbacks{fired: make(chan struct{})}
		calls, _, _ = f.play(t, make(chan struct{}))
	})
	for _, name := range []string{
		"Authenticate", "AuthenticateToken", "OnConnect", "OnDisconnect", "middleware", "GroupOf", "Allow", "Snapshot", "SnapshotFor", "handler", "MarshalJSON", "Error", "Unwrap", "Is", "As",
		"log", "Run", "Publish", "Signal", "Follow", "Unfollow", "Read", "Read orders", "Positions",
	} {
		require.Contains(t, calls, name)
	}
	kinds := map[string]func(freed chan struct{}) func(context.Context) error{
		"panic": func(chan struct{}) func(context.Context) error { return func(context.Context) error { panic("no") } },
		"fail": func(chan struct{}) func(context.Context) error {
			return func(context.Context) error { return errors.New("no") }
		},
		"typed nil": func(chan struct{}) func(context.Context) error {
			return func(context.Context) error { var e *os.PathError; return e }
		},
		"exit": func(chan struct{}) func(context.Context) error {
			return func(context.Context) error { runtime.Goexit(); return nil }
		},
		"hang": func(freed chan struct{}) func(context.Context) error {
			return func(ctx context.Context) error {
				select {
				case <-ctx.Done():
				case <-freed:
				}
				return ctx.Err()
			}
		},
		"hang for ever": func(freed chan struct{}) func(context.Context) error {
			return func(context.Context) error { <-freed; return nil }
		},
	}
	for kind, fail := range kinds {
		for at := 1; at <= len(calls); at++ {
			t.Run(fmt.Sprintf("%s/%d %s", kind, at, calls[at-1]), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					freed := make(chan struct{})
					f := &callbacks{at: at, fail: fail(freed), hangs: strings.HasPrefix(kind, "hang"), fired: make(chan struct{})}
					called, unanswered, code := f.play(t, freed) // in another order, perhaps
					switch {
					case f.hangs:
					case len(called) >= at && endsConnection(called[at-1]):
						assert.Contains(t, []int{wire.CloseUnauthorized, wire.CloseInternalError}, code)
					default:
						assert.Empty(t, unanswered)
						assert.Zero(t, code)
					}
				})
			})
		}
	}
}
