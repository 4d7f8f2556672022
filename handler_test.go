package rohrpost

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Handlers are closed to anonymous connections where the hub authenticates, and those of the
// hub itself and of HandlePublic are open to everybody.
func TestHandlersAreClosed(t *testing.T) {
	anyone := func(context.Context, string) (Identity, error) { return Identity{}, nil }
	for name, test := range map[string]struct {
		config Config
		closed bool
	}{
		"open":              {Config{}, false},
		"Authenticate":      {Config{Authenticate: byHeader}, true},
		"AuthenticateToken": {Config{AuthenticateToken: anyone}, true},
		"RequireIdentity":   {Config{RequireIdentity: true}, true},
	} {
		t.Run(name, func(t *testing.T) {
			hub := quiet(test.config)
			answer := func(context.Context, *Conn, *Request) (any, error) { return 1, nil }
			hub.Handle("own", answer, "alias")
			hub.HandlePublic("public", answer, "public-alias")
			ws := dial(t, serve(t, hub))
			for request, open := range map[string]bool{
				`{"id":1,"type":"own"}`: !test.closed, `{"id":1,"type":"alias"}`: !test.closed,
				`{"id":1,"type":"public"}`: true, `{"id":1,"type":"public-alias"}`: true, `{"id":1,"type":"ping"}`: true,
				`{"id":1,"type":"subscribe","data":{"group":"g"}}`: true, `{"id":1,"type":"unsubscribe","data":{"group":"g"}}`: true,
				helloAll: true, `{"id":1,"type":"rohrpost:heartbeat"}`: true,
			} {
				send(t, ws, request)
				if reply := receive(t, ws); open {
					assert.NotContains(t, reply, `"error"`, request)
				} else {
					assert.Contains(t, reply, `"error_info":{"code":"identity_required","temporary":false}`, request)
				}
			}
		})
	}
	hub := quiet(Config{Authenticate: func(*http.Request) (Identity, error) { return Identity{ID: "ann"}, nil }})
	hub.Handle("own", func(context.Context, *Conn, *Request) (any, error) { return 1, nil })
	ws := dial(t, serve(t, hub))
	send(t, ws, `{"id":1,"type":"own"}`)
	assert.Equal(t, `{"id":1,"type":"own","data":1}`, receive(t, ws))
}

// Middleware wraps the handlers of the program, the first one outermost, and none of the
// hub's.
func TestUse(t *testing.T) {
	var calls []string
	trace := func(name string) func(HandlerFunc) HandlerFunc {
		return func(next HandlerFunc) HandlerFunc {
			return func(ctx context.Context, c *Conn, r *Request) (any, error) {
				calls = append(calls, name+" "+r.Type)
				if name == "inner" && string(r.Data) == "7" {
					return nil, Errorf("not %s", r.Data)
				}
				result, err := next(ctx, c, r)
				return fmt.Sprintf("%s(%v)", name, result), err
			}
		}
	}
	hub := quiet(Config{})
	answer := func(context.Context, *Conn, *Request) (any, error) { calls = append(calls, "handler"); return 1, nil }
	hub.Handle("before", answer, "alias")
	hub.Use(trace("outer"))
	hub.Use(trace("inner"))
	hub.HandlePublic("after", answer)
	ws := dial(t, serve(t, hub))
	for _, name := range []string{"before", "alias", "after"} {
		calls = nil
		send(t, ws, `{"id":1,"type":"`+name+`"}`)
		assert.Contains(t, receive(t, ws), `"data":"outer(inner(1))"`)
		assert.Equal(t, []string{"outer " + name, "inner " + name, "handler"}, calls)
	}
	send(t, ws, `{"id":1,"type":"after","data":7}`)
	assert.Contains(t, receive(t, ws), `"error":"not 7"`)
	calls = nil
	send(t, ws, `{"id":1,"type":"ping"}`)
	assert.Equal(t, `{"id":1,"type":"pong"}`, receive(t, ws))
	join(t, ws, "g")
	assert.Empty(t, calls)
	assert.Panics(t, func() { hub.Use(nil) })
	assert.Panics(t, func() { hub.Use(func(HandlerFunc) HandlerFunc { return nil }) })
	assert.Panics(t, func() { hub.HandlePublic("public", nil) })
}

// A middleware may call the hub while it is built: no lock is held then. A name that it
// registers has it as well.
func TestMiddlewareMayCallTheHub(t *testing.T) {
	answer := func(context.Context, *Conn, *Request) (any, error) { return 1, nil }
	for name, setUp := range map[string]func(hub *Hub, m func(HandlerFunc) HandlerFunc){
		"in Use":    func(hub *Hub, m func(HandlerFunc) HandlerFunc) { hub.HandlePublic("first", answer); hub.Use(m) },
		"in Handle": func(hub *Hub, m func(HandlerFunc) HandlerFunc) { hub.Use(m); hub.HandlePublic("first", answer) },
	} {
		t.Run(name, func(t *testing.T) {
			hub := quiet(Config{})
			began := false
			middleware := func(next HandlerFunc) HandlerFunc {
				if !began {
					began = true
					hub.HandlePublic("second", answer)
					hub.Use(func(next HandlerFunc) HandlerFunc { return next })
					hub.Allow("of-the-middleware", Anyone)
				}
				return func(ctx context.Context, c *Conn, r *Request) (any, error) {
					result, err := next(ctx, c, r)
					return fmt.Sprintf("in(%v)", result), err
				}
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				setUp(hub, middleware)
			}()
			select {
			case <-done:
			case <-time.After(10 * time.Second):
				require.FailNow(t, "a deadlock")
			}
			ws := dial(t, serve(t, hub))
			for _, name := range []string{"first", "second"} {
				send(t, ws, `{"id":1,"type":"`+name+`"}`)
				assert.Contains(t, receive(t, ws), `"data":"in(1)"`)
			}
		})
	}
}

// A handler whose middleware could not be built stays closed.
func TestMiddlewareThatFails(t *testing.T) {
	for name, middleware := range map[string]func(HandlerFunc) HandlerFunc{
		"panics": func(HandlerFunc) HandlerFunc { panic("no") },
		"nil":    func(HandlerFunc) HandlerFunc { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			hub := quiet(Config{})
			hub.HandlePublic("early", func(context.Context, *Conn, *Request) (any, error) { return 1, nil })
			assert.Panics(t, func() { hub.Use(middleware) })
			assert.Panics(t, func() {
				hub.HandlePublic("late", func(context.Context, *Conn, *Request) (any, error) { return 1, nil })
			})
			ws := dial(t, serve(t, hub))
			for _, name := range []string{"early", "late"} {
				send(t, ws, `{"id":1,"type":"`+name+`"}`)
				assert.Contains(t, receive(t, ws), `"error":"internal error"`)
			}
			send(t, ws, `{"id":1,"type":"ping"}`)
			assert.Equal(t, `{"id":1,"type":"pong"}`, receive(t, ws))
		})
	}
}
