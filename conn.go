package rohrpost

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
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
// Its reader, which is the last to end, is the only goroutine that belongs to it
// all the time. Others exist while there are requests, or while more is to be
// written than the socket takes.
type Conn struct {
	out    outlet
	hub    *Hub
	ws     *websocket.Conn
	reader *bufio.Reader // of ws
	feed   *feed
	user   Identity
	worker *worker
	inbox  inbox
	later  chan struct{} // a place for each request answered later; made by the runner

	ctx     context.Context // ends with the connection, for handlers
	cancel  context.CancelFunc
	tasks   sync.WaitGroup // everything but the reader
	ending  atomic.Pointer[farewell]
	wrote   chan struct{} // closed when nothing is written any more
	parting sync.Once

	accepted bool      // these belong to the reader: the runner has not been told of all
	heard    time.Time // the read deadline was moved

	slow atomic.Bool // the requests that came together take long: their replies are not held

	timer    *time.Timer // calls tick
	nextPing time.Time

	mu     sync.Mutex // guards what follows
	groups map[*part]membership
	count  int  // of the groups that it wants to be in
	gone   bool // has left its groups for good

	nodes  ends  // these belong to the worker
	handed int64 // bytes in nodes that still count as waiting
	said   bool  // the farewell is the last frame of the connection

	reading sync.Mutex // guards the read deadline
	leaving bool       // the last read deadline is set
}

// membership is what a connection is in a part of a group.
type membership struct {
	place  int32 // among the members, plus 1; 0: its worker has yet to see to it
	wanted bool
}

// farewell is how a connection ends: with a close frame, written by a deadline.
type farewell struct {
	code   int
	reason string
	by     time.Time // zero: no deadline
}

func (f *farewell) frame() frame {
	return controlFrame(websocket.CloseMessage, websocket.FormatCloseMessage(f.code, f.reason))
}

func newConn(h *Hub, ws *websocket.Conn, w *upgradeWriter, user Identity) *Conn {
	c := &Conn{
		hub:    h,
		ws:     ws,
		reader: w.reader,
		feed:   &w.link.feed,
		user:   user,
		worker: h.nextWorker(),
		wrote:  make(chan struct{}),
	}
	c.out = outlet{conn: c, socket: w.link.Conn, try: c.worker.attempt(c.feed.raw)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	w.link.conn = c
	return c
}

// start lets the connection live. It must have a place in its hub.
func (c *Conn) start() {
	c.nextPing = time.Now().Add(c.pingInterval())
	c.timer = time.AfterFunc(math.MaxInt64, c.tick)
	c.timer.Reset(c.pause())
	if !c.hub.add(c) {
		c.end(websocket.CloseServiceRestart, "service restart", false)
	}
	go c.read()
}

// User returns what Config.Authenticate has said about the connection.
func (c *Conn) User() Identity { return c.user }

// Join makes the connection a member of a group. It asks nobody: a handler that
// calls it has decided. To join twice is no error. Above Config.MaxGroups it
// returns an *Error, on a closed connection ErrClosed.
func (c *Conn) Join(name string) error {
	if !validGroup(name) {
		return fmt.Errorf("join: malformed group name %.250q", name)
	}
	c.mu.Lock()
	var err error
	fresh := c.hub.groups.with(name, func(gr *group) {
		if err = c.mayJoin(gr); err != nil {
			return
		}
		if p, joins := c.join(gr); joins {
			c.worker.add(op{kind: opJoin, conn: c, part: p})
		}
	})
	c.mu.Unlock()
	if fresh != nil {
		c.hub.openGate(fresh)
	}
	return err
}

// mayJoin is called with the lock of the group's shard and of the connection.
func (c *Conn) mayJoin(gr *group) error {
	switch p := gr.part(c.worker); {
	case c.gone:
		return ErrClosed
	case p != nil && c.groups[p].wanted:
		return nil
	case over(c.count+1, c.hub.config.MaxGroups):
		return errTooMany
	}
	return nil
}

// join counts the connection among the members of a group, and reports whether it
// was none; then its worker is to be told. It is called with the lock of the
// group's shard and of the connection.
func (c *Conn) join(gr *group) (p *part, joins bool) {
	if p = gr.part(c.worker); p != nil && c.groups[p].wanted {
		return p, false
	}
	if c.groups == nil {
		c.groups = make(map[*part]membership)
	}
	p = gr.join(c)
	c.hub.groups.memberships.Add(1)
	c.groups[p] = membership{place: c.groups[p].place, wanted: true}
	c.count++
	return p, true
}

// Leave ends the membership in a group. Not to be in it is no error.
func (c *Conn) Leave(group string) {
	c.mu.Lock()
	p := c.hub.groups.find(group, c.worker)
	if p == nil || !c.groups[p].wanted {
		c.mu.Unlock()
		return
	}
	c.groups[p] = membership{place: c.groups[p].place}
	c.count--
	abandoned := c.hub.groups.leave(p)
	c.worker.add(op{kind: opLeave, conn: c, part: p})
	c.mu.Unlock()
	if abandoned {
		c.hub.abandon(group)
	}
}

// Groups returns the names of the groups the connection is in, sorted.
func (c *Conn) Groups() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := make([]string, 0, c.count)
	for p, m := range c.groups {
		if m.wanted {
			names = append(names, p.group.name)
		}
	}
	slices.Sort(names)
	return names
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

// settleDown waits while much is waiting to be written: who has missed much in many
// groups takes one after the other.
func (c *Conn) settleDown(ctx context.Context) {
	limit := half(c.hub.config.SendQueueBytes)
	for ctx.Err() == nil && over(c.out.waiting(), limit) {
		pause(ctx, 5*time.Millisecond)
	}
}

// push sends a message to this connection alone.
func (c *Conn) push(payload []byte) error {
	f, err := c.hub.frame(payload)
	if err != nil {
		return err
	}
	return c.pushFrame(f)
}

func (c *Conn) pushFrame(f frame) error {
	if err := c.admit(f); err != nil {
		return err
	}
	c.worker.add(op{kind: opDirect, conn: c, frame: f})
	return nil
}

// holdFrame is pushFrame for who wakes the worker afterwards.
func (c *Conn) holdFrame(f frame) error {
	if err := c.admit(f); err != nil {
		return err
	}
	c.worker.hold(op{kind: opDirect, conn: c, frame: f})
	return nil
}

// admit notes that a frame is to wait for this connection, if it may.
func (c *Conn) admit(f frame) error {
	if c.ending.Load() != nil {
		return ErrClosed
	}
	if waiting := c.out.direct.Add(int64(len(f))); over(waiting, int64(c.hub.config.SendQueueBytes)) {
		c.endSlow()
		return ErrClosed
	}
	return nil
}

// endSlow ends a connection that does not take what it is sent, and says why.
// Nobody else notices.
func (c *Conn) endSlow() {
	if c.end(closeSlow, "slow consumer", true) {
		c.logSlow("closing a slow consumer")
	}
}

func (c *Conn) logSlow(text string) {
	c.hub.counters.slow.Add(1)
	c.hub.log.Warn(text, "user", c.user.ID, "remote", c.ws.RemoteAddr().String())
}

// end begins the end of the connection: it is in no group any more, its
// handlers are told, and the farewell is said after what waits or, with drop,
// instead of it. It does not wait, and reports whether it was the first.
func (c *Conn) end(code int, reason string, drop bool) (first bool) {
	first = c.ending.CompareAndSwap(nil, &farewell{code: code, reason: reason, by: deadline(c.hub.config.WriteTimeout)})
	kind := opEnd
	if drop {
		kind = opDrop
	}
	c.worker.add(op{kind: kind, conn: c})
	c.timer.Stop()
	c.leaveAll()
	c.cancel()
	return first
}

// cut ends the connection without a farewell.
func (c *Conn) cut() {
	c.end(websocket.CloseGoingAway, "", true)
	_ = c.out.socket.Close() // there is nobody left to tell
	c.parted(false)
}

// parted notes that nothing is written any more: the farewell is said, or cannot
// be.
func (c *Conn) parted(said bool) {
	c.parting.Do(func() {
		if said {
			c.lastCall()
		}
		close(c.wrote)
	})
}

func (c *Conn) leaveAll() {
	for _, group := range c.leaveGroups() {
		c.hub.abandon(group)
	}
}

// leaveGroups ends all memberships for good, and returns the groups that nobody is
// in any more.
func (c *Conn) leaveGroups() (abandoned []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return nil
	}
	c.gone = true
	for p, m := range c.groups {
		if !m.wanted {
			continue
		}
		c.groups[p] = membership{place: m.place}
		if c.hub.groups.leave(p) {
			abandoned = append(abandoned, p.group.name)
		}
	}
	c.count = 0
	c.worker.add(op{kind: opGone, conn: c})
	return abandoned
}

// joined, left and leftAll are the worker's: it alone knows who gets what it
// writes.
func (c *Conn) joined(p *part) {
	p.members = append(p.members, c)
	c.setPlace(p, len(p.members))
}

func (c *Conn) setPlace(p *part, place int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.groups[p] = membership{place: int32(place), wanted: c.groups[p].wanted}
}

func (c *Conn) left(p *part) {
	c.mu.Lock()
	m := c.groups[p]
	if m.wanted { // it is about to join again
		c.groups[p] = membership{wanted: true}
	} else {
		delete(c.groups, p)
	}
	c.mu.Unlock()
	p.remove(m.place)
}

func (c *Conn) leftAll() {
	c.mu.Lock()
	groups := c.groups
	c.groups = nil
	c.mu.Unlock()
	for p, m := range groups {
		p.remove(m.place)
	}
}
