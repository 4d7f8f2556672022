package rohrpost

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/rohrpost/rohrpost/handlers"
	"github.com/rohrpost/rohrpost/internal/wire"
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
//
// Where Config.Authenticate, Config.AuthenticateToken or Config.RequireIdentity is set,
// the hub calls the handler only for a connection whose Identity has an ID. Another client
// reads an error with the code "identity_required". HandlePublic is for everybody.
func (h *Hub) Handle(name string, handler HandlerFunc, aliases ...string) {
	h.handleNames(registered{bare: handler}, append([]string{name}, aliases...))
}

// HandlePublic is Handle for a handler that is also called for anonymous connections.
func (h *Hub) HandlePublic(name string, handler HandlerFunc, aliases ...string) {
	h.handleNames(registered{bare: handler, public: true}, append([]string{name}, aliases...))
}

// Use wraps the handlers of Handle and HandlePublic, those registered before and after, in
// a middleware. The hub calls it once for each name, and again after each further Use. The
// middleware may call methods of the hub then. That of the first Use is the outermost. The handlers of the hub itself, such as
// subscribe, are not wrapped: Allow decides there. Use may be called at any time.
func (h *Hub) Use(middleware func(HandlerFunc) HandlerFunc) {
	if middleware == nil {
		panic("rohrpost: middleware is nil")
	}
	var all []registered
	h.setup.Lock()
	h.middleware = append(slices.Clone(h.middleware), middleware)
	for name, r := range h.handlers {
		if r.bare != nil {
			r.wrapped = wrap(name, r.bare, h.middleware)
			h.handlers[name] = r
			all = append(all, r)
		}
	}
	h.setup.Unlock()
	build(all)
}

// registered is the handler for a name.
type registered struct {
	own     HandlerFunc        // of the hub itself
	bare    HandlerFunc        // of the program; nil: own
	wrapped func() HandlerFunc // bare in its middleware, which the first call builds
	public  bool               // anonymous connections may call it
	quick   bool               // it calls nothing of the program, and does not wait
}

func (r *registered) isDefined() bool { return r.own != nil || r.bare != nil }

// call is under recover: it may call a middleware that could not be built.
func (r *registered) call(ctx context.Context, c *Conn, request *Request) (any, error) {
	if r.own != nil {
		return r.own(ctx, c, request)
	}
	return r.wrapped()(ctx, c, request)
}

// wrap returns what builds a handler in its middleware, once. It is called without a lock,
// as all code of the program; a request that comes meanwhile waits for it.
func wrap(name string, bare HandlerFunc, all []func(HandlerFunc) HandlerFunc) func() HandlerFunc {
	return sync.OnceValue(func() HandlerFunc {
		do := bare
		for _, middleware := range slices.Backward(all) {
			if do = middleware(do); do == nil {
				panic(fmt.Sprintf("rohrpost: middleware returns nil for %q", name))
			}
		}
		return do
	})
}

// build builds handlers, so that a middleware that panics does so where it is registered.
func build(all []registered) {
	for i := range all {
		all[i].wrapped()
	}
}

func (h *Hub) handleNames(r registered, names []string) {
	if r.bare == nil {
		panic(fmt.Sprintf("rohrpost: handler for %q is nil", names[0]))
	}
	for _, n := range names {
		if isReserved(n) {
			panic(fmt.Sprintf("rohrpost: the name %q is reserved: choose one that does not begin with %q", n, reservedPrefix))
		}
	}
	build(h.register(r, names...))
}

// register registers a handler for each name. The caller builds those of the program.
func (h *Hub) register(r registered, names ...string) (all []registered) {
	h.setup.Lock()
	defer h.setup.Unlock()
	for _, n := range names {
		if known := h.handlers[n]; known.isDefined() {
			panic(fmt.Sprintf("Handler for %q is already defined", n))
		}
		if r.bare != nil {
			r.wrapped = wrap(n, r.bare, h.middleware)
		}
		h.handlers[n] = r
		all = append(all, r)
	}
	return all
}

func (h *Hub) handler(name string) registered {
	h.setup.RLock()
	defer h.setup.RUnlock()
	return h.handlers[name]
}

// handleBuiltIns registers the handlers of every hub, which answer everybody.
func (h *Hub) handleBuiltIns() {
	own := func(handler HandlerFunc, name string) { h.register(registered{own: handler, public: true}, name) }
	h.register(registered{own: func(_ context.Context, _ *Conn, r *Request) (any, error) {
		valid := handlers.Ping(r.Data) // since it was decoded: checking it again costs more than all else of a large ping
		return Reply{Type: "pong", Data: wire.ObjectOf(valid)}, nil
	}, public: true, quick: true}, "ping")
	own(func(ctx context.Context, c *Conn, r *Request) (any, error) { return c.subscribe(ctx, r) }, "subscribe")
	own(func(ctx context.Context, c *Conn, r *Request) (any, error) { return c.unsubscribe(ctx, r) }, "unsubscribe")
	own(func(ctx context.Context, c *Conn, r *Request) (any, error) { return c.hello(ctx, r) }, helloRequest)
	h.register(registered{own: heartbeat, public: true, quick: true}, heartbeatRequest)
}
