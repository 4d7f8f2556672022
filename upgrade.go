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

// newUpgrader returns the settings of the handshake: buffers that an idle
// connection does not keep, and no compression, since a few bytes could then
// become many.
func newUpgrader() websocket.Upgrader {
	return websocket.Upgrader{
		HandshakeTimeout: 10 * time.Second,
		WriteBufferPool:  &sync.Pool{},                             // for control frames; ReadBufferSize 0 takes the reader of the link
		CheckOrigin:      func(*http.Request) bool { return true }, // admit did
	}
}

// ServeHTTP opens a connection. It refuses with 503 after Shutdown, with 403 a
// page of a foreign origin, with 503 above Config.MaxConnections, with 401 whom
// Config.Authenticate does not know, and with 400 what is no WebSocket
// handshake. It returns when the connection is open, and keeps nothing of the
// request.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r, h.authenticate)
}

// ServeUser is ServeHTTP for a program that has authenticated the request
// itself, in a middleware for one: Config.Authenticate is not asked.
func (h *Hub) ServeUser(w http.ResponseWriter, r *http.Request, user Identity) {
	h.serve(w, r, func(*http.Request) (Identity, error) { return current(user) })
}

func (h *Hub) serve(w http.ResponseWriter, r *http.Request, authenticate authenticateFunc) {
	user, ok := h.admit(w, r, authenticate)
	if !ok {
		h.counters.refused.Add(1)
		return
	}
	taken := &upgradeWriter{ResponseWriter: w, hub: h}
	ws, err := h.upgrader.Upgrade(taken, r, nil)
	if err != nil { // it is answered
		h.log.Debug("refusing a handshake", "remote", r.RemoteAddr, "error", err)
		h.counters.refused.Add(1)
		h.exit()
		return
	}
	newConn(h, ws, taken, user).start()
}

// newReader returns the reader of a socket.
func (h *Hub) newReader(socket net.Conn) sockio.Reader {
	if h.portable {
		return sockio.NewReader(socket, nil, &h.buffers)
	}
	return sockio.NewReader(socket, sockio.RawConn(socket), &h.buffers)
}

type authenticateFunc = func(*http.Request) (Identity, error)

// admit answers whom it refuses, and takes a place for whom it does not.
func (h *Hub) admit(w http.ResponseWriter, r *http.Request, authenticate authenticateFunc) (user Identity, ok bool) {
	if h.closed.Load() {
		unavailable(w, "shutting down")
		return user, false
	}
	if !originAllowed(r, h.config.Origins) {
		http.Error(w, "origin not allowed", http.StatusForbidden)
		return user, false
	}
	if err := h.enter(); err != nil {
		if errors.Is(err, ErrClosed) {
			unavailable(w, "shutting down")
		} else {
			unavailable(w, err.Error())
		}
		return user, false
	}
	user, err := authenticate(r)
	if err != nil {
		h.exit()
		text, ok := readable(err)
		if !ok {
			text = "Unauthorized"
			h.log.Warn("refusing a connection", "remote", r.RemoteAddr, "error", err)
		}
		http.Error(w, text, http.StatusUnauthorized)
		return user, false
	}
	return user, true
}

func (h *Hub) authenticate(r *http.Request) (user Identity, err error) {
	err = panics.Guard(func() (err error) {
		user, err = h.config.Authenticate(r)
		return err
	})
	if err != nil {
		return user, err
	}
	return current(user)
}

func current(user Identity) (Identity, error) {
	if user.expired(time.Now()) {
		return user, Errorf("Unauthorized")
	}
	return user, nil
}

func unavailable(w http.ResponseWriter, text string) {
	w.Header().Set("Retry-After", "5")
	http.Error(w, text, http.StatusServiceUnavailable)
}
