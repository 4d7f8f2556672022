package fanout

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/tasks"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// maxAttempts is how often a subscription is tried while the history of the group
// moves on, or breaks, faster than it is read.
const maxAttempts = 5

// The errors of Subscribe, besides those of a Member.
var (
	ErrUnavailable = errors.New("the group is unavailable")
	ErrCancelled   = errors.New("the member has left the group while it subscribed")
	ErrTimedOut    = errors.New("reading the snapshot or the history took too long")
	ErrOutrun      = errors.New("the history does not reach the end of the snapshot")
)

// errRevoked ends an attempt of which a part was revoked.
var errRevoked = errors.New("a part of the snapshot was revoked")

// Subscription configures the way of a member into a group.
type Subscription struct {
	Group string

	// Since asks for a replay of the messages after the position. Nil asks for none.
	Since *broker.Position

	// Permit is the decision to let the member in. Nil: it always holds.
	Permit Permit

	// FromNow keeps from the member what was published before the permit was decided, and
	// has yet to come here: other hubs may have published it while the member had no right.
	// A replay is the business of the permit alone.
	FromNow bool

	// Snapshot returns the snapshot of the group. It is called where the replay is not
	// complete. Messages after the position at are buffered. The snapshot may also be one
	// that is being read already, if reach reports that the history has all messages from
	// its position to the buffered ones. Nil asks for none.
	Snapshot func(ctx context.Context, at broker.Position, reach func(from broker.Position) bool) (Snapshot, error)

	// Timeout is the time for reading, where Snapshot is given. A negative one means none.
	// Sending takes as long as the client takes something.
	Timeout time.Duration

	// Answer returns the frame that tells the client the outcome, or a part of it. The
	// last call is under a lock.
	Answer func(o *Outcome) (wire.Frame, error)

	// Withdrawn returns the frame in place of the last answer, where that is revoked
	// before it is written. It is called under locks.
	Withdrawn func() wire.Frame
}

// Permit is a decision to let a member into a group. Its methods other than Decide are
// called under locks, so they must not wait.
type Permit interface {
	// Decide decides again, after the decision has ceased to hold.
	Decide(ctx context.Context) error

	// Holds reports whether the decision holds.
	Holds() bool

	// MayResume reports whether the member may have the messages after a position.
	MayResume(since broker.Position) bool

	// Admit is Holds in the step that joins. The member has the group from a position on.
	Admit(at broker.Position) bool
}

// Snapshot is an encoded snapshot. Several subscriptions may share its bytes.
type Snapshot struct {
	Position broker.Position   // all messages after it must follow
	Parts    []json.RawMessage // one: it is sent whole
}

// Outcome is how a subscription has ended.
type Outcome struct {
	// Position is that of the snapshot, of the last replayed message, or of the group.
	// It is zero where the group has no history.
	Position broker.Position

	Resumed   bool   // Subscription.Since was given
	Recovered bool   // all messages since then follow
	Missed    int    // how many those are
	Reason    string // why they do not follow

	Snapshot json.RawMessage // nil: not asked for, or not needed
	Part     int             // the number of this part of the snapshot, from 1; 0: it is whole
	Last     bool            // no part follows
}

// subscription is a Subscription under way. It takes the position of the group first.
// Then it reads the snapshot or the replay without a lock, while the changes that come
// are buffered. At last, in one step, the worker gets the answer, what has come since the
// position, and the membership. Publishing waits for none of it.
type subscription struct {
	Subscription
	member  *Member
	engine  *Engine
	group   *group
	pending pendingSubscription

	underway underway

	least    broker.Position // no earlier base without a replay; zero: not known yet
	base     broker.Position // all messages after it follow the answer
	told     uint64          // the offset at which the client is; it has no less than base
	sent     uint64          // that of the sequencer when the base was taken
	replay   []post          // of these, the ones from the history
	snapshot Snapshot
	partial  bool // a part has been sent
	outcome  Outcome
}

// Subscribe begins a subscription. Leave cancels it from now on. The caller calls run,
// once, which adds the member to the group after an answer. ctx bounds all of it. run
// returns ErrTooManyGroups, ErrClosed, one of the errors above, the error of ctx, or one
// of the functions of s.
func (m *Member) Subscribe(ctx context.Context, s Subscription) (run func() error) {
	sub := &subscription{Subscription: s, member: m, engine: m.engine, underway: underway{group: s.Group}}
	ctx, untrack := sub.track(ctx)
	return func() error {
		defer untrack()
		err := sub.run(ctx)
		if err != nil && sub.isCancelled() {
			return ErrCancelled
		}
		return err
	}
}

func (s *subscription) run(ctx context.Context) error {
	if err := s.register(ctx); err != nil {
		return err
	}
	defer s.unregister()
	for outruns, attempt := 0, 0; ; attempt++ {
		err := s.join(ctx)
		switch {
		case errors.Is(err, ErrOutrun) && outruns == 0:
			outruns++ // once more, from the first part
		case errors.Is(err, errRevoked) && attempt < maxAttempts:
			if err := s.begin(ctx); err != nil {
				return err
			}
		case errors.Is(err, errRevoked):
			return ErrUnavailable
		default:
			return err
		}
	}
}

// begin begins anew with a new decision, after a part of the snapshot was revoked.
func (s *subscription) begin(ctx context.Context) error {
	s.member.mu.Lock()
	s.underway.sent, s.underway.restart = false, false
	s.member.mu.Unlock()
	s.partial = false
	return s.reauthorize(ctx)
}

// track lets Leave cancel the subscription.
func (s *subscription) track(ctx context.Context) (tracked context.Context, untrack func()) {
	if s.Snapshot != nil {
		ctx, s.underway.cancel = context.WithCancel(ctx)
	}
	m := s.member
	m.mu.Lock()
	defer m.mu.Unlock()
	m.subscriptions = append(m.subscriptions, &s.underway)
	return ctx, func() {
		m.mu.Lock()
		m.subscriptions = slices.DeleteFunc(m.subscriptions, func(other *underway) bool { return other == &s.underway })
		if len(m.subscriptions) == 0 {
			m.subscriptions = nil
		}
		m.mu.Unlock()
		if s.underway.cancel != nil {
			s.underway.cancel()
		}
	}
}

func (s *subscription) isCancelled() bool {
	s.member.mu.Lock()
	defer s.member.mu.Unlock()
	return s.underway.cancelled
}

// register waits until the group has a position.
func (s *subscription) register(ctx context.Context) error {
	var ready chan struct{}
	fresh := s.engine.groups.with(s.Group, func(g *group) {
		s.group, ready = g, g.sequencer.ready
		g.pending = append(g.pending, &s.pending)
	})
	if fresh != nil {
		s.engine.follow(fresh)
	}
	if ready == nil {
		return nil
	}
	ctx, cancel := withTimeout(ctx, s.engine.config.OpenTimeout)
	defer cancel()
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		s.unregister()
		return ErrUnavailable
	}
}

func (s *subscription) unregister() {
	if s.engine.groups.removePending(s.group, &s.pending) {
		s.engine.config.Upstream.Unfollow(s.group.name)
	}
}

// join makes attempts until the member is in the group.
func (s *subscription) join(ctx context.Context) error {
	reading, cancel := s.reading(ctx)
	defer cancel()
	for attempt := range maxAttempts {
		pauseBefore(reading, attempt)
		ready, err := s.prepare(reading)
		if err != nil {
			return timedOut(reading, ctx, err)
		}
		if ready && (s.partial || len(s.snapshot.Parts) > 1) {
			return s.sendParts(ctx)
		}
		if ready {
			if done, err := s.finishInTurn(ctx); done {
				return err
			}
		}
		if err := s.reauthorize(ctx); err != nil {
			return err
		}
	}
	return ErrUnavailable
}

// finishInTurn is finish when half the send queue has room for the snapshot, or nothing
// waits in it.
func (s *subscription) finishInTurn(ctx context.Context) (done bool, err error) {
	if s.Since == nil && s.Snapshot == nil {
		return s.finish() // the answer is small
	}
	room := half(s.engine.config.MaxSendQueueBytes)
	if room >= 0 {
		room = max(0, room-len(s.outcome.Snapshot))
	}
	if err := s.member.takeTurn(ctx, room); err != nil {
		return true, err
	}
	defer s.member.endTurn()
	done, err = s.finish()
	if s.Snapshot != nil {
		s.member.Wake() // it runs beside the requests
	}
	return done, err
}

// reauthorize decides again if the decision does not hold any more.
func (s *subscription) reauthorize(ctx context.Context) error {
	if s.Permit == nil || s.Permit.Holds() {
		return nil
	}
	s.least = broker.Position{}
	return s.Permit.Decide(ctx)
}

// finish does the rest in one step. It reports false if the history has moved on so
// that there would be a hole, or if the member must be authorized again.
func (s *subscription) finish() (done bool, err error) {
	m := s.member
	m.mu.Lock()
	defer m.mu.Unlock()
	defer s.engine.groups.lock(s.group)()
	if err := s.interrupted(); err != nil {
		return true, err
	}
	if !s.settleBase() || s.Permit != nil && !s.Permit.Admit(s.group.sequencer.at) {
		return false, nil
	}
	follows, ok := s.follows()
	if !ok {
		return false, nil
	}
	if err := m.mayJoin(s.group); err != nil {
		return true, err
	}
	f, err := s.answer(follows)
	if err != nil {
		return true, err
	}
	ops := make([]op, 0, len(follows)+2)
	ops = append(ops, op{kind: opDirect, member: m, frame: f, label: &label{s.Group, s.Withdrawn}})
	for i := range follows {
		ops = append(ops, op{kind: opDirect, member: m, frame: follows[i].frame, label: &s.group.label})
	}
	for i := range ops {
		m.writer.reserve(ops[i].frame) // it may exceed the send queue by a replay
	}
	if list, added := m.addTo(s.group); added {
		ops = append(ops, op{kind: opJoin, member: m, list: list})
	}
	m.worker.queue(ops...) // they leave with the other replies
	s.count()
	return true, nil
}

// interrupted is called with the lock of the member.
func (s *subscription) interrupted() error {
	switch {
	case s.underway.cancelled:
		return ErrCancelled
	case s.underway.restart:
		return errRevoked
	}
	return nil
}

func (s *subscription) answer(follows []post) (wire.Frame, error) {
	s.outcome.Position = s.base
	if s.outcome.Recovered && s.base.Epoch != "" {
		s.outcome.Missed = len(follows)
		s.outcome.Position = s.group.sequencer.at
		if len(follows) > 0 {
			s.outcome.Position = follows[len(follows)-1].at
		}
	}
	return s.Answer(&s.outcome)
}

// count counts the outcome for a client that has been disconnected.
func (s *subscription) count() {
	switch {
	case !s.outcome.Resumed:
	case s.outcome.Recovered:
		s.engine.recovered.Add(1)
	default:
		s.engine.unrecovered.Add(1)
	}
}

// reading returns the context of one reading of a snapshot or a history.
func (s *subscription) reading(ctx context.Context) (context.Context, context.CancelFunc) {
	if s.Snapshot == nil {
		return ctx, func() {}
	}
	return withTimeout(ctx, s.Timeout)
}

// timedOut returns the error of a reading, ErrTimedOut if it ended since it took too long.
func timedOut(reading, ctx context.Context, err error) error {
	if ctx.Err() == nil && errors.Is(reading.Err(), context.DeadlineExceeded) && errors.Is(err, context.DeadlineExceeded) {
		return ErrTimedOut
	}
	return err
}

// withTimeout is context.WithTimeout, where a negative timeout means none.
func withTimeout(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout < 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, timeout)
}

// pauseBefore makes a pause before a further attempt.
func pauseBefore(ctx context.Context, attempt int) {
	if attempt > 0 {
		tasks.Pause(ctx, time.Millisecond<<(3*attempt))
	}
}
