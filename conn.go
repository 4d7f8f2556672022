package rohrpost

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
)

// Close codes besides those of RFC 6455.
const (
	closeExpired = 4001 // the identity has expired
	closeSlow    = 4008 // the send queue is full
)

// Conn is one connection. All its methods may be called concurrently, also
// after it is closed. It is owned by its hub and ends on its own: when the
// other end closes or is dead, and with Hub.Shutdown.
//
// Three goroutines at most belong to it: the reader, which owns it and is the
// last to end; the writer; and, while there are requests, the runner.
type Conn struct {
	hub   *Hub
	ws    *websocket.Conn
	user  Identity
	queue queue
	inbox inbox
	later chan struct{} // a place for each request answered later

	ctx    context.Context // ends with the connection, for handlers
	cancel context.CancelFunc
	tasks  sync.WaitGroup // everything but the reader
	wrote  chan struct{}  // closed when the writer has ended

	mu     sync.Mutex // guards what follows
	groups map[string]*member
	gone   bool // has left its groups for good

	reading sync.Mutex // guards the read deadline
	leaving bool       // the last read deadline is set
}

func newConn(h *Hub, ws *websocket.Conn, user Identity) *Conn {
	c := &Conn{
		hub:    h,
		ws:     ws,
		user:   user,
		queue:  newQueue(h.config.SendQueueBytes),
		inbox:  newInbox(),
		later:  make(chan struct{}, maxLater),
		wrote:  make(chan struct{}),
		groups: make(map[string]*member),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// start lets the connection live. It must have a place in its hub.
func (c *Conn) start() {
	c.tasks.Add(1)
	if !c.hub.add(c) {
		c.end(websocket.CloseServiceRestart, "service restart", false)
	}
	go c.write()
	go c.read()
}

// User returns what Config.Authenticate has said about the connection.
func (c *Conn) User() Identity { return c.user }

// Join makes the connection a member of a group. It asks nobody: a handler that
// calls it has decided. To join twice is no error. Above Config.MaxGroups it
// returns an *Error, on a closed connection ErrClosed.
func (c *Conn) Join(group string) error {
	if !validGroup(group) {
		return fmt.Errorf("join: malformed group name %.250q", group)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.gone:
		return ErrClosed
	case c.groups[group] != nil:
		return nil
	case over(len(c.groups)+1, c.hub.config.MaxGroups):
		return errTooMany
	}
	c.groups[group] = c.hub.groups.join(group, c)
	return nil
}

// Leave ends the membership in a group. Not to be in it is no error.
func (c *Conn) Leave(group string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.groups[group]; m != nil {
		delete(c.groups, group)
		c.hub.groups.leave(group, m)
	}
}

// Groups returns the names of the groups the connection is in, sorted.
func (c *Conn) Groups() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.groups))
}

// Send sends a message to this connection alone. It waits for nobody; a message
// the other end does not read in time closes the connection like any other.
func (c *Conn) Send(m Message) error {
	payload, err := m.encode()
	if err != nil {
		return fmt.Errorf("send: %w", err)
	}
	if err := c.push(payload); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// Close closes the connection, after what was sent before has been written. The
// code is 1000, 1001, 1008, 1011 to 1014, or one from 3000 to 4999, the reason
// UTF-8 of at most 123 bytes. It does not wait. On a closed connection it does
// nothing.
func (c *Conn) Close(code int, reason string) error {
	switch {
	case code == 1000, code == 1001, code == 1008, 1011 <= code && code <= 1014, 3000 <= code && code <= 4999:
	default:
		return fmt.Errorf("close: code %d cannot be sent", code)
	}
	if len(reason) > 123 || !utf8.ValidString(reason) {
		return errors.New("close: the reason is no UTF-8 of at most 123 bytes")
	}
	c.end(code, reason, false)
	return nil
}

// push queues a frame for this connection alone.
func (c *Conn) push(payload []byte) error {
	if over(len(payload), c.hub.config.SendQueueBytes) {
		return fmt.Errorf("a message of %d bytes fits into no send queue", len(payload))
	}
	p := c.queue.push(frame{payload: payload})
	switch {
	case p.overflow:
		c.endSlow()
		return ErrClosed
	case !p.taken:
		return ErrClosed
	case p.wake:
		c.queue.wakeUp()
	}
	return nil
}

// endSlow ends a connection whose queue is full, and says why. Nobody else
// notices.
func (c *Conn) endSlow() {
	if !c.end(closeSlow, "slow consumer", true) {
		return
	}
	c.hub.counters.slow.Add(1)
	c.hub.log.Warn("closing a slow consumer", "user", c.user.ID, "remote", c.ws.RemoteAddr().String())
}

// end begins the end of the connection: it is in no group any more, its
// handlers are told, and the writer says farewell after what waits or, with
// drop, instead of it. It does not wait, and reports whether it was the first.
func (c *Conn) end(code int, reason string, drop bool) (first bool) {
	by := deadline(c.hub.config.WriteTimeout)
	first = c.queue.end(farewell{code: code, reason: reason, by: by}, drop)
	c.leaveAll()
	c.cancel()
	c.queue.wakeUp()
	return first
}

// cut ends the connection without a farewell.
func (c *Conn) cut() {
	c.end(websocket.CloseGoingAway, "", true)
	_ = c.ws.NetConn().Close() // there is nobody left to tell
}

func (c *Conn) leaveAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = true
	for group, m := range c.groups {
		c.hub.groups.leave(group, m)
	}
	clear(c.groups)
}

// alive moves the read deadline: a frame has come.
func (c *Conn) alive() error {
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.leaving {
		return nil
	}
	return c.ws.SetReadDeadline(deadline(c.hub.config.DeadAfter))
}

// lastCall sets the read deadline for good: we have said farewell.
func (c *Conn) lastCall() {
	c.reading.Lock()
	defer c.reading.Unlock()
	c.leaving = true
	_ = c.ws.SetReadDeadline(time.Now().Add(closeTimeout)) // fails only if it is closed
}
