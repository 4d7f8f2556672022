package rohrpost

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
	"github.com/rohrpost/rohrpost/internal/fanout"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// Conn is one connection. All its methods may be called concurrently, also after it is
// closed. Its hub owns it. It ends when the client closes it or does not answer any
// more, and with Hub.Shutdown.
//
// Only its reader, which is the last to end, is a goroutine of the connection all the
// time. Others exist while there are requests, or while more is to be written than the
// socket takes.
type Conn struct {
	member   fanout.Member // what goes out
	hub      *Hub
	ws       *websocket.Conn
	socket   *netConn // of ws
	identity Identity
	inbox    inbox
	wants    atomic.Pointer[wants] // of the client; nil: it has sent no hello

	// The following belong to dispatch.
	id     string        // random; "": the client has sent no hello
	later  chan struct{} // a place for each request that is answered later; nil: there was none
	beside chan struct{} // a place for each request that is answered beside the queue; nil: there was none
	batch  []inbound     // taken from the inbox, and not handled yet

	ctx    context.Context // ends with the connection, for handlers
	cancel context.CancelFunc
	tasks  sync.WaitGroup // the goroutines that handle requests

	subtree bool // the pattern of the hub also matches longer paths

	accepted  bool      // these belong to the reader: dispatch has yet to be told
	lastFrame time.Time // the read deadline was moved

	slow atomic.Bool // the requests that came together take long: their replies leave at once

	timer    *time.Timer // calls tick
	nextPing time.Time

	deadline sync.Mutex // guards the read deadline
	closing  bool       // the last read deadline is set
}

func newConn(h *Hub, ws *websocket.Conn, socket *netConn, identity Identity) *Conn {
	c := &Conn{hub: h, ws: ws, socket: socket, identity: identity}
	h.engine.Init(&c.member, socket.Conn, socket.reader.Raw(), (*owner)(c))
	c.ctx, c.cancel = context.WithCancel(context.Background())
	socket.owner = c
	return c
}

// start starts the reader. The connection must have a place in its hub. It is closed at
// once if its client is not authenticated.
func (c *Conn) start(unauthorized error) {
	c.nextPing = time.Now().Add(c.pingInterval())
	c.timer = time.AfterFunc(math.MaxInt64, c.tick)
	c.timer.Reset(c.nextTick())
	if !c.hub.conns.add(c) {
		c.shutDown(1)
	}
	if unauthorized != nil {
		c.member.End(wire.CloseUnauthorized, unauthorizedReason(unauthorized), false)
	}
	go c.read()
}

// shutDown closes the connection, one of so many, since the hub ends. Some browsers report
// the codes from 1012 to 1014 as an abnormal end, but none does so with 1001.
func (c *Conn) shutDown(conns int) {
	after := wire.ShortestRetry + rand.N(wire.RetrySpread(conns))
	c.member.End(wire.CloseGoingAway, wire.RetryReason("service restart", after), false)
}

// Identity returns what Config.Authenticate has returned for the connection.
func (c *Conn) Identity() Identity { return c.identity }

// Join makes the connection a member of a group, without asking Allow: the handler
// that calls it has decided. It has no effect if the connection is a member already.
// Above Limits.MaxGroups it returns an *Error, on a closed connection ErrClosed.
func (c *Conn) Join(group string) error {
	if !wire.ValidGroup(group) {
		return fmt.Errorf("rohrpost: join: malformed group name %.250q", group)
	}
	return outward(c.member.Join(group))
}

// Leave ends the membership in a group, and cancels a subscription that is under way. A
// client that has asked for it in its hello, as the JavaScript client does, is told so with
// a message of type "unsubscribed". Leave has no effect if the connection is not a member.
func (c *Conn) Leave(group string) {
	var last wire.Frame
	if c.wanted().unsubscribed {
		last = wire.UnsubscribedFrame(group, wire.ReasonLeft)
	}
	c.member.Leave(group, last)
}

// Groups returns the names of the groups of which the connection is a member, sorted.
func (c *Conn) Groups() []string { return c.member.Groups() }

// Send sends a message to this connection alone. It does not wait. If the client does
// not read it in time, the hub closes the connection. On a closed connection Send
// returns ErrClosed.
func (c *Conn) Send(m Message) error {
	payload, err := m.encode("")
	if err == nil {
		err = c.hub.config.Limits.checkFrame(wire.FramedBytes(payload))
	}
	if err == nil {
		err = c.pushFrame(wire.TextFrame(payload))
	}
	if err != nil {
		return fmt.Errorf("rohrpost: send: %w", err)
	}
	return nil
}

// Close closes the connection after everything that was sent before has been written.
// The code is 1000, 1001, 1008, 1011 to 1014, or one from 3000 to 4999. The reason is
// UTF-8 of at most 123 bytes. Close does not wait. It has no effect on a closed
// connection.
func (c *Conn) Close(code int, reason string) error {
	if !wire.MayClose(code) {
		return fmt.Errorf("rohrpost: close: code %d cannot be sent", code)
	}
	if len(reason) > wire.MaxCloseReason || !utf8.ValidString(reason) {
		return fmt.Errorf("rohrpost: close: the reason is not UTF-8 of at most %d bytes", wire.MaxCloseReason)
	}
	c.member.End(code, reason, false)
	return nil
}

// pushFrame sends a frame to this connection alone.
func (c *Conn) pushFrame(f wire.Frame) error { return outward(c.member.Push(f)) }

var _ fanout.Owner = (*owner)(nil)

// owner is a Conn as its member sees it.
type owner Conn

// Ending implements fanout.Owner.
func (o *owner) Ending() {
	o.timer.Stop()
	o.cancel()
}

// Taken implements fanout.Owner: a client that takes what is written is alive, although
// the pings of the hub wait behind that.
func (o *owner) Taken() {
	timeout := o.hub.config.Limits.IdleTimeout
	o.deadline.Lock()
	defer o.deadline.Unlock()
	if timeout >= 0 && !o.closing && o.ws != nil {
		_ = o.ws.SetReadDeadline(time.Now().Add(timeout)) // fails only if it is closed
	}
}

// CloseSent implements fanout.Owner. It sets the read deadline for good.
func (o *owner) CloseSent() {
	o.deadline.Lock()
	defer o.deadline.Unlock()
	o.closing = true
	_ = o.ws.SetReadDeadline(time.Now().Add(closeTimeout)) // fails only if it is closed
}

// SlowConsumer implements fanout.Owner.
func (o *owner) SlowConsumer(what string) {
	o.hub.counters.slow.Add(1)
	o.hub.log.Warn("rohrpost: "+what, "user", o.identity.ID, "remote", o.ws.RemoteAddr().String())
}

// outward returns the error that a user of the package gets for one of the fan-out.
func outward(err error) error {
	switch {
	case errors.Is(err, fanout.ErrClosed):
		return ErrClosed
	case errors.Is(err, fanout.ErrTooManyGroups):
		return errTooManyGroups
	case errors.Is(err, fanout.ErrUnavailable):
		return ErrUnavailable
	case errors.Is(err, fanout.ErrCancelled):
		return errCancelled
	}
	return err
}
