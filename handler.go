package rohrpost

import (
	"context"
	"fmt"

	"github.com/rohrpost/rohrpost/handlers"
)

// HandlerFunc answers a request. Its result is the data of the reply; nil is a reply
// without data. An *Error is the error of the reply. The hub logs any other error and a
// panic, and answers "internal error". A Reply answers with another type. Later answers
// later. After SendSuccess or SendError for the request the hub ignores the result.
//
// The hub handles the requests of one connection one after another, in the order in
// which they came, and those of different connections concurrently. ctx ends with the
// connection, and after Limits.RequestTimeout. If the handler then returns the error of
// ctx, the hub answers "The request timed out.".
type HandlerFunc func(ctx context.Context, c *Conn, r *Request) (any, error)

// Handle registers the handler for requests of type name, and of the aliases. It panics
// if there is one already, as for "ping", "subscribe" and "unsubscribe", which every hub
// answers, and for names that begin with "rohrpost:", which are reserved. It may be called
// at any time.
func (h *Hub) Handle(name string, handler HandlerFunc, aliases ...string) {
	if handler == nil {
		panic(fmt.Sprintf("rohrpost: handler for %q is nil", name))
	}
	names := append([]string{name}, aliases...)
	for _, n := range names {
		if isReserved(n) {
			panic(fmt.Sprintf("rohrpost: the name %q is reserved: choose one that does not begin with %q", n, reservedPrefix))
		}
	}
	h.register(handler, names...)
}

func (h *Hub) register(handler HandlerFunc, names ...string) {
	h.setup.Lock()
	defer h.setup.Unlock()
	for _, n := range names {
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

// handleBuiltIns registers the handlers of every hub.
func (h *Hub) handleBuiltIns() {
	h.register(func(_ context.Context, _ *Conn, r *Request) (any, error) {
		return Reply{Type: "pong", Data: handlers.Ping(r.Data)}, nil
	}, "ping")
	h.register(func(ctx context.Context, c *Conn, r *Request) (any, error) { return c.subscribe(ctx, r) }, "subscribe")
	h.register(func(ctx context.Context, c *Conn, r *Request) (any, error) { return c.unsubscribe(ctx, r) }, "unsubscribe")
	h.register(func(_ context.Context, c *Conn, r *Request) (any, error) { return c.hello(r) }, helloRequest)
	h.register(heartbeat, heartbeatRequest)
}
