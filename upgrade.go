package rohrpost

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/rohrpost/rohrpost/internal/lazyctx"
	"github.com/rohrpost/rohrpost/internal/origin"
	"github.com/rohrpost/rohrpost/internal/panics"
	"github.com/rohrpost/rohrpost/internal/places"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// ServeHTTP opens a connection. It refuses with 503 after Shutdown, above
// Limits.MaxConnections, and where a handshake takes too long; with 429 above the limits of
// an address or a user; with 403 a page of a foreign origin; with 421 a host that
// Config.Hosts does not name; with 401 a client that Config.Authenticate does not know; and
// with 400 a request that is not a WebSocket handshake. A page cannot see a status:
// ServeHTTP opens a connection for one that Config.Authenticate does not know, and closes
// it with 4401. It returns when the connection is open, and keeps nothing of the request.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r, h.authenticate)
}

// ServeHTTPAs is ServeHTTP for a program that has authenticated the request itself, for
// example in a middleware. It does not call Config.Authenticate.
func (h *Hub) ServeHTTPAs(w http.ResponseWriter, r *http.Request, identity Identity) {
	h.serve(w, r, func(*http.Request) (Identity, error) { return current(identity) })
}

// serve shakes hands. Everything until the connection is open has one deadline.
func (h *Hub) serve(w http.ResponseWriter, r *http.Request, authenticate authenticateFunc) {
	if err := h.admit(r); err != nil {
		h.refuse(w, r, err)
		return
	}
	a := &attempt{hub: h, address: places.AddressOf(r, h.config.Limits.TrustedProxies)}
	ctx := lazyctx.New(r.Context(), h.config.Limits.HandshakeTimeout)
	defer ctx.End()
	defer a.end() // also if the program's code panics, or ends the goroutine
	if err := a.begin(ctx); err != nil {
		h.refuse(w, r, err)
		return
	}
	began := h.ledger.Now()
	identity, unknown := authenticate(r.WithContext(ctx))
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		h.refuse(w, r, errSlowHandshake)
		return
	}
	if unknown != nil {
		identity = Identity{}
	}
	if unknown != nil && !h.refuseIdentity(w, r, unknown) {
		return
	}
	if err := a.take(identity.ID); err != nil {
		h.refuse(w, r, err)
		return
	}
	a.hijacked.ResponseWriter = w
	if _, failed := h.upgrader.Upgrade(&a.hijacked, r, nil); failed != nil { // gorilla has answered
		h.logHandshake(&a.hijacked, r, failed)
		h.counters.refused.add(wire.CodeHandshake)
		return
	}
	c := newConn(h, newSocket(a.hijacked.conn, &h.buffers, h.portable), newCredentials(identity, tokenHash{}))
	c.subtree, c.place = strings.HasSuffix(r.Pattern, "/"), a.place
	a.opened = true
	c.start(unknown, began)
}

type authenticateFunc = func(*http.Request) (Identity, error)

// attempt is a handshake under way: what it holds is given back, or goes to the connection.
type attempt struct {
	hub      *Hub
	address  string
	begun    bool // it holds a place among the handshakes
	place    *places.Place
	hijacked hijacker
	opened   bool // the rest belongs to the connection
}

func (a *attempt) begin(ctx context.Context) error {
	if err := a.hub.places.Check(a.address); err != nil {
		return err
	}
	if a.hub.handshakes.Take(ctx, places.Names{a.address}) != nil {
		return errSlowHandshake
	}
	if a.begun = true; a.hub.conns.Reserve() != nil {
		a.hub.handshakes.Leave(places.Names{a.address})
		a.begun = false
		return ErrClosed
	}
	return nil
}

func (a *attempt) take(user string) (err error) {
	a.place, err = a.hub.places.Take(a.address, user)
	return err
}

func (a *attempt) end() {
	if a.begun {
		a.hub.handshakes.Leave(places.Names{a.address})
	}
	if !a.opened {
		a.hijacked.abort()
		a.place.Free()
	}
	if a.begun && !a.opened {
		a.hub.conns.Release()
	}
}

var (
	errHandshake     = errors.New("a WebSocket handshake is a GET of HTTP/1.1 without a body")
	errHost          = errors.New("host not allowed")
	errOrigin        = errors.New("origin not allowed")
	errSlowHandshake = errors.New("the handshake takes too long")
)

// admit looks at the request alone.
func (h *Hub) admit(r *http.Request) error {
	switch {
	case h.conns.IsClosed():
		return ErrClosed
	case r.ProtoMajor == 1 && r.ProtoMinor == 0 || r.ContentLength != 0 || len(r.TransferEncoding) > 0:
		return errHandshake
	case !origin.HostAllowed(r.Host, h.config.Hosts):
		return errHost
	case !origin.Allowed(r, h.config.Origins):
		return errOrigin
	}
	return nil
}

// refuse answers with a refusal, counts it and logs it.
func (h *Hub) refuse(w http.ResponseWriter, r *http.Request, err error) {
	status, code, text := http.StatusServiceUnavailable, wire.CodeFull, err.Error()
	warn := func(t *throttle, line string, args ...any) {
		h.warn(t, "rohrpost: refuse "+line, append([]any{"remote", r.RemoteAddr}, args...)...)
	}
	switch {
	case errors.Is(err, errHandshake):
		status, code = http.StatusBadRequest, wire.CodeHandshake
	case errors.Is(err, errHost):
		status, code = http.StatusMisdirectedRequest, wire.CodeHost
		warn(&h.throttles.host, "a host that Config.Hosts does not name", "host", r.Host)
	case errors.Is(err, errOrigin):
		status, code = http.StatusForbidden, wire.CodeOrigin
		warn(&h.throttles.origin, "a page of a foreign origin", "origin", r.Header.Values("Origin"), "host", r.Host,
			"remedy", "add the origin to Config.Origins if its pages may connect; or let a proxy pass on the Host header of the page, "+
				"with its port (nginx: proxy_set_header Host $http_host; Vite: changeOrigin: false)")
	case errors.Is(err, ErrClosed):
		code, text = wire.CodeShutdown, "shutting down"
	case errors.Is(err, errSlowHandshake):
		code = wire.CodeSlowHandshake
		warn(&h.throttles.handshake, "a handshake that takes longer than Limits.HandshakeTimeout, or waits for too many others",
			"under way", h.handshakes.Held(), "MaxHandshakes", h.config.Limits.MaxHandshakes)
	case errors.Is(err, places.ErrAddress):
		status, code = http.StatusTooManyRequests, wire.CodeAddress
		warn(&h.throttles.address, "a connection of an address that holds an eighth of Limits.MaxConnections",
			"remedy", "name your proxies in Limits.TrustedProxies if this is the address of one")
	case errors.Is(err, places.ErrUser):
		status, code = http.StatusTooManyRequests, wire.CodeUser
		warn(&h.throttles.user, "a connection above Limits.MaxUserConnections", "MaxUserConnections", h.config.Limits.MaxUserConnections)
	default:
		warn(&h.throttles.full, "a connection above Limits.MaxConnections", "MaxConnections", h.config.Limits.MaxConnections)
	}
	h.counters.refused.add(code)
	if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "5")
	}
	http.Error(w, text, status)
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
