package fanout

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rohrpost/rohrpost/internal/wire"
)

// Owner is the connection to which a Member belongs. Its methods do not wait.
type Owner interface {
	// Ending is called when the end of the member begins, perhaps more than once.
	Ending()

	// Taken is called when the socket has taken something, and more waits.
	Taken()

	// CloseSent is called once, when the close frame has been written.
	CloseSent()

	// SlowConsumer is called once for a member that is ended since its client reads too
	// slowly. what says how.
	SlowConsumer(what string)
}

// Member is the outbound half of a connection: its send queue, its groups, and its
// end. All that concerns it goes through one worker, in one order. Make it with
// Engine.Init. Its methods may be called concurrently, also after its end.
type Member struct {
	writer socketWriter
	engine *Engine
	worker *worker
	owner  Owner

	drains  sync.WaitGroup // the goroutine of the writer
	ending  atomic.Pointer[closing]
	flushed chan struct{} // closed when nothing is written any more
	flush   sync.Once

	loading atomic.Int32 // snapshots that are being sent in parts

	mu            sync.Mutex // guards what follows
	groups        map[*memberList]membership
	count         int           // of the groups that the member wants to be in
	gone          bool          // it has left all groups for good
	subscriptions []*underway   // subscriptions under way
	turn          chan struct{} // full while one of them hands over frames; nil: none has yet

	mixed mixed // belongs to the worker
}

// underway is a subscription that Leave can cancel.
type underway struct {
	group     string
	cancel    context.CancelFunc // nil: it does not take long
	cancelled bool               // these are guarded by the member
	sent      bool               // a part of a snapshot is with the worker
	restart   bool               // that part was revoked
}

// closing is the end of a member: a close frame that is written by a deadline.
type closing struct {
	code    int
	reason  string
	by      time.Time // zero: no deadline
	aborted bool      // the close frame is not awaited
}

// ErrClosed is returned for a member whose end has begun.
var ErrClosed error = closedError{}

type closedError struct{}

func (closedError) Error() string { return "rohrpost: closed" }

// TryWriter is implemented by a socket that can write without waiting. TryWrite
// returns how many bytes the socket has taken, which may be none.
type TryWriter interface {
	TryWrite(p []byte) (int, error)
}

// Init prepares a Member that writes to socket. raw is what sockio.RawConn returns
// for it; where it is nil and socket is no TryWriter, each write may wait and has a
// goroutine.
func (e *Engine) Init(m *Member, socket net.Conn, raw syscall.RawConn, owner Owner) {
	m.engine, m.owner = e, owner
	m.worker = e.nextWorker()
	m.flushed = make(chan struct{})
	m.writer.init(m, socket, raw)
}

// Push sends a frame to the member alone. It returns ErrClosed if the member has
// ended, or ends now since too much waits for it.
func (m *Member) Push(f wire.Frame) error {
	if err := m.Queue(f); err != nil {
		return err
	}
	m.worker.wake()
	return nil
}

// Queue is Push for a caller that calls Wake or Work afterwards, so that several
// frames leave together.
func (m *Member) Queue(f wire.Frame) error {
	if m.Ended() {
		return ErrClosed
	}
	if !m.writer.reserve(f) {
		m.endSlow()
		return ErrClosed
	}
	m.worker.queue(op{kind: opDirect, member: m, frame: f})
	return nil
}

// Pong answers a ping. A pong that is not written yet is dropped for a later one, so that
// a client that only sends pings makes nothing wait for it.
func (m *Member) Pong(data string) {
	if !m.Ended() && m.writer.setPong(wire.PongFrame(data)) {
		m.worker.submit(op{kind: opPong, member: m})
	}
}

// takeTurn waits until no other subscription hands over frames, and at most limit bytes
// wait to be written. A client that gets much in many groups gets one after another. The
// caller calls endTurn.
func (m *Member) takeTurn(ctx context.Context, limit int) error {
	m.mu.Lock()
	if m.turn == nil {
		m.turn = make(chan struct{}, 1)
	}
	turn := m.turn
	m.mu.Unlock()
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	m.writer.awaitDrain(ctx, limit)
	err := ctx.Err()
	if err != nil {
		m.endTurn()
	}
	return err
}

func (m *Member) endTurn() { <-m.turn }

// Wake lets the worker write what is queued.
func (m *Member) Wake() { m.worker.wake() }

// Work writes what is queued on the caller's goroutine, unless the worker runs
// anyway.
func (m *Member) Work() { m.worker.work() }

// Waiting returns the bytes that wait to be written.
func (m *Member) Waiting() int { return m.writer.waiting() }

// Ended reports whether the end of the member has begun.
func (m *Member) Ended() bool { return m.ending.Load() != nil }

// Flushed returns a channel that is closed when nothing is written any more: the
// close frame has been written, or cannot be.
func (m *Member) Flushed() <-chan struct{} { return m.flushed }

// EndReason returns the code and the reason with which the member was ended, zero for a
// member that has not ended, or that was aborted.
func (m *Member) EndReason() (code int, reason string) {
	if c := m.ending.Load(); c != nil && !c.aborted {
		return c.code, c.reason
	}
	return 0, ""
}

// End begins the end of the member: it leaves its groups, and a close frame is
// written after what waits or, with discard, in place of it. End does not wait. It
// reports whether it was the first.
func (m *Member) End(code int, reason string, discard bool) (first bool) {
	return m.end(&closing{code: code, reason: reason}, discard)
}

func (m *Member) end(c *closing, discard bool) (first bool) {
	c.by = deadline(m.engine.config.WriteTimeout)
	first = m.ending.CompareAndSwap(nil, c)
	kind := opClose
	if discard {
		kind = opDiscard
	}
	m.worker.submit(op{kind: kind, member: m})
	m.leaveAll()
	m.owner.Ending()
	return first
}

// Abort ends the member without a close frame.
func (m *Member) Abort() {
	m.end(&closing{code: wire.CloseGoingAway, aborted: true}, true)
	_ = m.writer.socket.Close() // nobody is left to tell
	m.setFlushed(false)
}

// Close ends all writing and waits for the goroutine of the member. Call it last,
// after Abort.
func (m *Member) Close() {
	m.writer.stop()
	m.drains.Wait()
}

// endSlow ends a member whose client reads too slowly. No other member notices.
func (m *Member) endSlow() { m.EndSlow("close a slow consumer") }

// EndSlow ends the member since too much waits for it. what is for the log.
func (m *Member) EndSlow(what string) {
	if m.End(wire.CloseSlowConsumer, "slow consumer", true) {
		m.owner.SlowConsumer(what)
	}
}

// writeFailed ends a member whose socket takes nothing.
func (m *Member) writeFailed(timedOut bool) {
	if timedOut && !m.Ended() {
		m.owner.SlowConsumer("abort a connection that takes nothing")
	}
	m.Abort()
}

func (m *Member) setFlushed(closeSent bool) {
	m.flush.Do(func() {
		if closeSent {
			m.owner.CloseSent()
		}
		close(m.flushed)
	})
}

// writeDeadline returns when a write that starts now must be done. All writes after
// the end share one deadline: a client that hardly reads cannot hold up a shutdown.
func (m *Member) writeDeadline() time.Time {
	if c := m.ending.Load(); c != nil {
		return c.by
	}
	return deadline(m.engine.config.WriteTimeout)
}

// tooOld reports whether a message has waited too long. While a snapshot is sent in
// parts, no message has: it waits for a part.
func (m *Member) tooOld(since time.Time) bool {
	age := m.engine.config.MaxSendQueueAge
	return age >= 0 && m.loading.Load() == 0 && !m.Ended() && time.Since(since) > age
}

// deadline returns the time after d, zero if d is negative.
func deadline(d time.Duration) time.Time {
	if d < 0 {
		return time.Time{}
	}
	return time.Now().Add(d)
}
