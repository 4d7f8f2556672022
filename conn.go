package rohrpost

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
	"github.com/rohrpost/rohrpost/internal/sockio"
	"github.com/rohrpost/rohrpost/internal/tasks"
	"github.com/rohrpost/rohrpost/internal/wire"
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
	feed   *sockio.Reader
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

// farewell is how a connection ends: with a close frame, written by a deadline.
type farewell struct {
	code   int
	reason string
	by     time.Time // zero: no deadline
}

func (f *farewell) frame() wire.Frame {
	return wire.CloseFrame(f.code, f.reason)
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
	c.out = outlet{conn: c, socket: w.link.Conn, try: c.worker.attempt(c.feed.Raw())}
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
		tasks.Pause(ctx, 5*time.Millisecond)
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

func (c *Conn) pushFrame(f wire.Frame) error {
	if err := c.admit(f); err != nil {
		return err
	}
	c.worker.add(op{kind: opDirect, conn: c, frame: f})
	return nil
}

// holdFrame is pushFrame for who wakes the worker afterwards.
func (c *Conn) holdFrame(f wire.Frame) error {
	if err := c.admit(f); err != nil {
		return err
	}
	c.worker.hold(op{kind: opDirect, conn: c, frame: f})
	return nil
}

// admit notes that a frame is to wait for this connection, if it may.
func (c *Conn) admit(f wire.Frame) error {
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
