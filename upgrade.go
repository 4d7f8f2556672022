package rohrpost

import (
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rohrpost/rohrpost/internal/panics"
	"github.com/rohrpost/rohrpost/internal/sockio"
)

// newUpgrader returns the settings of the handshake. An idle connection keeps no
// buffers. There is no compression, since a few bytes could become many.
func newUpgrader() websocket.Upgrader {
	return websocket.Upgrader{
		HandshakeTimeout: 10 * time.Second,
		WriteBufferPool:  &sync.Pool{},                             // for control frames; ReadBufferSize 0 takes the reader of the netConn
		CheckOrigin:      func(*http.Request) bool { return true }, // admit did
	}
}

// ServeHTTP opens a connection. It refuses with 503 after Shutdown and above
// Limits.MaxConnections, with 403 a page of a foreign origin, with 401 a client that
// Config.Authenticate does not know, and with 400 a request that is not a WebSocket
// handshake. It returns when the connection is open, and keeps nothing of the request.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r, h.authenticate)
}

// ServeHTTPAs is ServeHTTP for a program that has authenticated the request itself, for
// example in a middleware. It does not call Config.Authenticate.
func (h *Hub) ServeHTTPAs(w http.ResponseWriter, r *http.Request, identity Identity) {
	h.serve(w, r, func(*http.Request) (Identity, error) { return current(identity) })
}

func (h *Hub) serve(w http.ResponseWriter, r *http.Request, authenticate authenticateFunc) {
	identity, ok := h.admit(w, r, authenticate)
	if !ok {
		h.counters.refused.Add(1)
		return
	}
	hijacked := &hijacker{ResponseWriter: w, wrap: h.newNetConn}
	ws, err := h.upgrader.Upgrade(hijacked, r, nil)
	if err != nil { // gorilla has answered
		h.log.Debug("rohrpost: refuse a handshake", "remote", r.RemoteAddr, "error", err)
		h.counters.refused.Add(1)
		h.conns.release()
		return
	}
	newConn(h, ws, hijacked.socket, identity).start()
}

type authenticateFunc = func(*http.Request) (Identity, error)

// admit reserves a place for a connection, or answers with a refusal.
func (h *Hub) admit(w http.ResponseWriter, r *http.Request, authenticate authenticateFunc) (identity Identity, ok bool) {
	if h.conns.isClosed() {
		unavailable(w, "shutting down")
		return identity, false
	}
	if !originAllowed(r, h.config.Origins) {
		http.Error(w, "origin not allowed", http.StatusForbidden)
		return identity, false
	}
	if err := h.conns.reserve(); err != nil {
		if errors.Is(err, ErrClosed) {
			unavailable(w, "shutting down")
		} else {
			unavailable(w, err.Error())
		}
		return identity, false
	}
	identity, err := authenticate(r)
	if err != nil {
		h.conns.release()
		text, ok := readable(err)
		if !ok {
			text = "Unauthorized"
			h.log.Warn("rohrpost: refuse a connection", "remote", r.RemoteAddr, "error", err)
		}
		http.Error(w, text, http.StatusUnauthorized)
		return identity, false
	}
	return identity, true
}

func (h *Hub) authenticate(r *http.Request) (identity Identity, err error) {
	err = panics.Guard(func() (err error) {
		identity, err = h.config.Authenticate(r)
		return err
	})
	if err != nil {
		return identity, err
	}
	return current(identity)
}

func current(identity Identity) (Identity, error) {
	if identity.expired(time.Now()) {
		return identity, Errorf("Unauthorized")
	}
	return identity, nil
}

func unavailable(w http.ResponseWriter, text string) {
	w.Header().Set("Retry-After", "5")
	http.Error(w, text, http.StatusServiceUnavailable)
}

func (h *Hub) newNetConn(conn net.Conn) *netConn {
	if h.portable {
		return &netConn{Conn: conn, reader: sockio.NewReader(conn, nil, &h.buffers)}
	}
	return &netConn{Conn: conn, reader: sockio.NewReader(conn, sockio.RawConn(conn), &h.buffers)}
}
