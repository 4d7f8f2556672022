package rohrpost

import (
	"context"
	"fmt"

	"github.com/rohrpost/rohrpost/handlers"
)

// HandlerFunc answers a request. What it returns is the data of the reply; nil
// is a reply without data. The text of an *Error is the error of the reply, any
// other error and a panic are logged and answered "internal error". A Reply
// answers with another type; Later answers later. After SendSuccess or SendError
// for the request the result is ignored.
//
// The requests of one connection are handled one after another, in the order
// they came; those of different connections concurrently. ctx ends when the
// connection does, and after Config.RequestTimeout; a handler that then returns
// the error of ctx is answered "The request timed out.".
type HandlerFunc func(ctx context.Context, c *Conn, r *Request) (any, error)

// Handle registers the handler for requests of type name, and of the aliases.
// It panics if there is one already, as for "ping", "subscribe" and
// "unsubscribe", which every hub has. It may be called at any time.
func (h *Hub) Handle(name string, handler HandlerFunc, aliases ...string) {
	if handler == nil {
		panic(fmt.Sprintf("rohrpost: handler for %q is nil", name))
	}
	h.setup.Lock()
	defer h.setup.Unlock()
	for _, n := range append([]string{name}, aliases...) {
		if h.handlers[n] != nil {
			panic(fmt.Sprintf("Handler for %q is already defined", n))
		}
		h.handlers[n] = handler
	}
}

func (h *Hub) handler(name string) HandlerFunc {
	h.setup.RLock()
	defer h.setup.RUnlock()
	return h.handlers[name]
}

// handleBuiltIns registers what every hub answers.
func (h *Hub) handleBuiltIns() {
	h.Handle("ping", func(_ context.Context, _ *Conn, r *Request) (any, error) {
		return Reply{Type: "pong", Data: handlers.Ping(r.Data)}, nil
	})
	h.Handle("subscribe", func(ctx context.Context, c *Conn, r *Request) (any, error) {
		return nil, handlers.Subscribe(ctx, door{c, r}, r.Data)
	})
	h.Handle("unsubscribe", func(_ context.Context, c *Conn, r *Request) (any, error) {
		return handlers.Unsubscribe(door{c, r}, r.Data)
	})
}
