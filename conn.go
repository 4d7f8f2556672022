package rohrpost

import (
	"context"
	cryptorand "crypto/rand"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rohrpost/rohrpost/internal/budget"
	"github.com/rohrpost/rohrpost/internal/excess"
	"github.com/rohrpost/rohrpost/internal/fanout"
	"github.com/rohrpost/rohrpost/internal/frames"
	"github.com/rohrpost/rohrpost/internal/notify"
	"github.com/rohrpost/rohrpost/internal/places"
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
	member fanout.Member // what goes out
	hub    *Hub
	socket *socket
	place  *places.Place
	inbox  inbox
	wants  atomic.Pointer[wants]  // of the client; nil: it has sent no hello
	id     atomic.Pointer[string] // random; nil: nobody has asked for it

	credentials atomic.Pointer[credentials] // never nil; dispatch changes them
	nextRecheck atomic.Int64                // time.Duration since the hub began
	losses      atomic.Uint64               // how often the client was refused what it had

	// The following belong to dispatch.
	later  chan struct{} // a place for each request that is answered later; nil: there was none
	beside chan struct{} // a place for each request that is answered beside the queue; nil: there was none
	batch  []inbound     // taken from the inbox, and not handled yet

	malformed budget.Bucket // messages, in seconds

	refusals sync.Mutex      // guards denied: a snapshot beside the requests is refused too
	denied   budget.Distinct // groups

	ctx    context.Context // ends with the connection, for handlers
	cancel context.CancelFunc
	tasks  sync.WaitGroup // the goroutines that handle requests

	subtree bool // the pattern of the hub also matches longer paths

	connected bool // Config.OnDisconnect is to be called

	// The following belong to the reader.
	frames       frames.Reader
	uses         budget.Inbound
	clientReason string    // of the close frame of the client
	accepted     bool      // dispatch has yet to be told
	lastFrame    time.Time // the read deadline was moved

	exceeded atomic.Pointer[excess.Excess] // the connection was closed for it: nothing more is read

	slow atomic.Bool // the requests that came together take long: their replies leave at once

	timer    *time.Timer // calls tick
	nextPing time.Time
	opened   time.Time

	deadline  sync.Mutex // guards the read deadline
	messageBy time.Time  // when a message must be whole of which a part has come; zero: there is none
	closing   bool       // the last read deadline is set
}

func newConn(h *Hub, socket *socket, who *credentials) *Conn {
	c := &Conn{hub: h, socket: socket}
	c.credentials.Store(who)
	c.nextRecheck.Store(int64(never))
	h.enforcer.PutOff((*subject)(c))
	h.engine.Init(&c.member, socket.Conn, socket.reader.Raw(), (*owner)(c))
	c.ctx, c.cancel = context.WithCancel((*origins)(c))
	return c
}

// start starts the reader. The connection must have a place in its hub. It is closed at
// once if its client is not authenticated, or was disconnected since its authentication
// began.
func (c *Conn) start(unauthorized error, began uint64) {
	c.opened = time.Now()
	c.nextPing = c.opened.Add(c.pingInterval())
	c.timer = time.AfterFunc(math.MaxInt64, c.tick)
	c.timer.Reset(c.nextTick())
	if !c.hub.conns.Add(c, c.user()) {
		c.shutDown(1)
	}
	c.endIfDisconnected(began)
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

// remote returns the address of the client.
func (c *Conn) remote() string { return c.socket.RemoteAddr().String() }

// Identity returns what Config.Authenticate has returned for the connection or, if the
// client has sent a token since, Config.AuthenticateToken.
func (c *Conn) Identity() Identity { return c.credentials.Load().Identity }

func (c *Conn) user() string { return c.credentials.Load().ID }

// Join makes the connection a member of a group, without asking Allow: the handler
// that calls it has decided. It has no effect if the connection is a member already.
// Above Limits.MaxGroups it returns an *Error, on a closed connection ErrClosed. A group
// with views is an error: only the function of AllowViews chooses one.
func (c *Conn) Join(group string) error {
	if !wire.ValidGroup(group) {
		return fmt.Errorf("rohrpost: join: malformed group name %.250q", group)
	}
	if c.hub.viewsOf(group) != nil {
		return fmt.Errorf("rohrpost: join: the group %s has views: let the client subscribe", group)
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
	c.leave(group, last)
}

// leave leaves the group, or the view of it that the connection has.
func (c *Conn) leave(group string, last wire.Frame) {
	if c.hub.viewsOf(group) == nil {
		c.member.Leave(group, last)
		return
	}
	for _, stream := range c.hub.streamsOf(group) {
		c.member.Leave(stream, last)
	}
}

// Groups returns the names of the groups of which the connection is a member, sorted.
func (c *Conn) Groups() []string {
	groups := c.member.Groups()
	for i := range groups {
		groups[i] = wire.GroupOf(groups[i])
	}
	slices.Sort(groups)
	return slices.Compact(groups)
}

// Send sends a message to this connection alone. It does not wait. If the client does
// not read it in time, the hub closes the connection. On a closed connection Send
// returns ErrClosed.
func (c *Conn) Send(m Message) error {
	payload, err := m.encode("", "")
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

// SendToOthers is Hub.Send for a message that the page of this connection need not get. The
// hub sends it to all members. The JavaScript client of the page drops it. A client that
// names no page in its hello, such as rohrpost-js, gets the message too.
func (c *Conn) SendToOthers(group string, m Message) error {
	if err := c.hub.send(group, m, wire.SkippedOrigin(c.wanted().page)); err != nil {
		return fmt.Errorf("rohrpost: send to the others of a group: %w", err)
	}
	return nil
}

// Close closes the connection after everything that was sent before has been written.
// The code is 1000, 1001, 1008, 1011 to 1014, or one from 3000 to 4999. The reason is
// UTF-8 of at most 123 bytes. Close does not wait. It has no effect on a closed
// connection.
func (c *Conn) Close(code int, reason string) error {
	if err := wire.CheckClose(code, reason); err != nil {
		return fmt.Errorf("rohrpost: close: %w", err)
	}
	c.member.End(code, reason, false)
	return nil
}

// ID returns the random id of the connection, which hello tells the client. It is unique
// among all hubs.
func (c *Conn) ID() string {
	if id := c.id.Load(); id != nil {
		return *id
	}
	id := cryptorand.Text()
	c.id.CompareAndSwap(nil, &id)
	return *c.id.Load()
}

// Context returns a context that ends with the connection.
func (c *Conn) Context() context.Context { return c.ctx }

// pushFrame sends a frame to this connection alone.
func (c *Conn) pushFrame(f wire.Frame) error { return outward(c.member.Push(f)) }

var _ context.Context = (*origins)(nil)

// origins is a Conn as the root of its contexts, which have the page of the client as
// their origin.
type origins Conn

// Deadline implements context.Context.
func (*origins) Deadline() (at time.Time, ok bool) { return at, false }

// Done implements context.Context.
func (*origins) Done() <-chan struct{} { return nil }

// Err implements context.Context.
func (*origins) Err() error { return nil }

// Value implements context.Context.
func (c *origins) Value(key any) any {
	if page := (*Conn)(c).wanted().page; page != "" && notify.IsOriginKey(key) {
		return wire.Origin(page)
	}
	return nil
}

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
	if timeout >= 0 && !o.closing && o.messageBy.IsZero() {
		_ = o.socket.SetReadDeadline(time.Now().Add(timeout)) // fails only if it is closed
	}
}

// CloseSent implements fanout.Owner. It sets the read deadline for good.
func (o *owner) CloseSent() {
	o.deadline.Lock()
	defer o.deadline.Unlock()
	o.closing = true
	_ = o.socket.SetReadDeadline(time.Now().Add(closeTimeout)) // fails only if it is closed
}

// SlowConsumer implements fanout.Owner.
func (o *owner) SlowConsumer(what string) {
	o.hub.counters.slow.Add(1)
	user := (*Conn)(o).user()
	o.hub.tasks.Go(func(context.Context) { // the log handler is the program's, and may be what publishes
		o.hub.log.Warn("rohrpost: "+what, "user", user, "remote", (*Conn)(o).remote())
	})
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
