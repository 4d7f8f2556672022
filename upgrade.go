package rohrpost

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/rohrpost/rohrpost/internal/origin"
	"github.com/rohrpost/rohrpost/internal/panics"
	"github.com/rohrpost/rohrpost/internal/registry"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// ServeHTTP opens a connection. It refuses with 503 after Shutdown and above
// Limits.MaxConnections, with 403 a page of a foreign origin, with 401 a client that
// Config.Authenticate does not know, and with 400 a request that is not a WebSocket
// handshake. A page cannot see a status: ServeHTTP opens a connection for one that
// Config.Authenticate does not know, and closes it with 4401. It returns when the
// connection is open, and keeps nothing of the request.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r, h.authenticate)
}

// ServeHTTPAs is ServeHTTP for a program that has authenticated the request itself, for
// example in a middleware. It does not call Config.Authenticate.
func (h *Hub) ServeHTTPAs(w http.ResponseWriter, r *http.Request, identity Identity) {
	h.serve(w, r, func(*http.Request) (Identity, error) { return current(identity) })
}

func (h *Hub) serve(w http.ResponseWriter, r *http.Request, authenticate authenticateFunc) {
	if !h.admit(w, r) {
		return
	}
	hijacked := &hijacker{ResponseWriter: w}
	started := false
	defer func() { // also if the program's code panics, or ends the goroutine
		if !started {
			hijacked.abort()
			h.conns.Release()
		}
	}()
	began := h.ledger.Now()
	identity, err := authenticate(r)
	if err != nil && !h.refuseIdentity(w, r, err) {
		return
	}
	if _, failed := h.upgrader.Upgrade(hijacked, r, nil); failed != nil { // gorilla has answered
		h.logHandshake(hijacked, r, failed)
		h.counters.refused.add(wire.CodeHandshake)
		return
	}
	if err != nil {
		identity = Identity{}
	}
	c := newConn(h, newSocket(hijacked.conn, &h.buffers, h.portable), newCredentials(identity, tokenHash{}))
	c.subtree = strings.HasSuffix(r.Pattern, "/")
	started = true
	c.start(err, began)
}

type authenticateFunc = func(*http.Request) (Identity, error)

// admit reserves a place for a connection, or answers with a refusal.
func (h *Hub) admit(w http.ResponseWriter, r *http.Request) (ok bool) {
	switch err := h.reserve(r); {
	case err == nil:
		return true
	case errors.Is(err, errOrigin):
		h.counters.refused.add(wire.CodeOrigin)
		h.warn(&h.throttles.origin, "rohrpost: refuse a page of a foreign origin",
			"origin", r.Header.Values("Origin"), "host", r.Host,
			"remedy", "add the origin to Config.Origins if its pages may connect; or let a proxy pass on the Host header of the page, "+
				"with its port (nginx: proxy_set_header Host $http_host; Vite: changeOrigin: false)")
		http.Error(w, err.Error(), http.StatusForbidden)
	case errors.Is(err, ErrClosed), errors.Is(err, registry.ErrClosed):
		h.counters.refused.add(wire.CodeShutdown)
		unavailable(w, "shutting down")
	default:
		h.counters.refused.add(wire.CodeFull)
		h.warn(&h.throttles.full, "rohrpost: refuse a connection above Limits.MaxConnections", "MaxConnections", h.config.Limits.MaxConnections)
		unavailable(w, err.Error())
	}
	return false
}

var errOrigin = errors.New("origin not allowed")

func (h *Hub) reserve(r *http.Request) error {
	if h.conns.IsClosed() {
		return ErrClosed
	}
	if !origin.Allowed(r, h.config.Origins) {
		return errOrigin
	}
	return h.conns.Reserve()
}

// refuseIdentity refuses a client that is not authenticated. It reports whether the
// connection is to be opened, so that the page of a browser learns the reason.
func (h *Hub) refuseIdentity(w http.ResponseWriter, r *http.Request, err error) (open bool) {
	h.counters.refused.add(wire.CodeUnauthorized)
	h.warn(&h.throttles.unauthorized, "rohrpost: refuse a client that is not authenticated",
		"remote", r.RemoteAddr, "origin", r.Header.Get("Origin"), "error", scrubbed(err, secretsOf(r)...))
	if r.Header.Get("Origin") != "" {
		return true
	}
	http.Error(w, unauthorizedText(err), http.StatusUnauthorized)
	return false
}

// logHandshake logs why a handshake has failed. It is the program's fault if it cannot
// take over the connection, else the client's.
func (h *Hub) logHandshake(w *hijacker, r *http.Request, err error) {
	if w.failed == nil {
		h.log.Debug("rohrpost: refuse a handshake", "remote", r.RemoteAddr, "error", err)
		return
	}
	h.warn(&h.throttles.hijacker, "rohrpost: cannot take over a connection", "writer", fmt.Sprintf("%T", innermost(w.ResponseWriter)), "error", w.failed,
		"remedy", "mount the hub outside of the middleware that made this ResponseWriter, or give it a method Unwrap() http.ResponseWriter")
}

// innermost returns the ResponseWriter at which http.ResponseController stops.
func innermost(w http.ResponseWriter) http.ResponseWriter {
	for {
		wrapper, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w
		}
		w = wrapper.Unwrap()
	}
}

// authenticate authenticates a client by its HTTP request.
func (h *Hub) authenticate(r *http.Request) (identity Identity, err error) {
	err = panics.Call(func() (err error) {
		identity, err = h.config.Authenticate(r)
		return err
	})
	if err != nil {
		return identity, err
	}
	return current(identity)
}

func unavailable(w http.ResponseWriter, text string) {
	w.Header().Set("Retry-After", "5")
	http.Error(w, text, http.StatusServiceUnavailable)
}
