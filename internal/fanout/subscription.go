package fanout

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/tasks"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// maxAttempts is how often a subscription is tried while the history of the group
// moves on, or breaks, faster than it is read.
const maxAttempts = 5

// ErrUnavailable is returned for a subscription that cannot be served now.
var ErrUnavailable = errors.New("the group is unavailable")

// Subscription configures the way of a member into a group.
type Subscription struct {
	Group string

	// Since asks for a replay of the messages after the position. Nil asks for none.
	Since *broker.Position

	// Snapshot returns the snapshot of the group. It is called where the replay is not
	// complete. Nil asks for none.
	Snapshot func(ctx context.Context) (json.RawMessage, error)

	// Answer returns the frame that tells the client the outcome. It is called once, under
	// a lock.
	Answer func(o *Outcome) (wire.Frame, error)
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

	base    broker.Position // all messages after it follow the answer
	replay  []post          // of these, the ones from the history
	outcome Outcome
}

// Subscribe adds the member to a group after an answer. It returns ErrUnavailable,
// ErrTooManyGroups, ErrClosed, the error of ctx, or one of the functions of s.
func (m *Member) Subscribe(ctx context.Context, s Subscription) error {
	sub := &subscription{Subscription: s, member: m, engine: m.engine}
	if err := sub.register(ctx); err != nil {
		return err
	}
	defer sub.unregister()
	for attempt := range maxAttempts {
		if attempt > 0 {
			tasks.Pause(ctx, time.Millisecond<<(3*attempt))
		}
		ready, err := sub.prepare(ctx)
		if err != nil {
			return err
		}
		// A client that has missed much in many groups gets one replay after another.
		m.writer.awaitDrain(ctx, half(m.engine.config.MaxSendQueueBytes))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if ready {
			if done, err := sub.finish(); done {
				return err
			}
		}
	}
	return ErrUnavailable
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
	timeout := s.engine.config.OpenTimeout
	if timeout >= 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
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

// start takes the position of the group. From now on changes are buffered.
func (s *subscription) start() {
	defer s.engine.groups.lock(s.group)()
	s.pending = pendingSubscription{}
	s.base, s.replay = s.group.sequencer.at, nil
}

// prepare reads the replay and, where that is not complete, the snapshot. It reports
// whether the subscription can be finished.
func (s *subscription) prepare(ctx context.Context) (ready bool, err error) {
	s.start()
	s.outcome = Outcome{Resumed: s.Since != nil}
	if s.Since != nil {
		recovered, err := s.readReplay(ctx, *s.Since)
		if s.outcome.Recovered = recovered; err != nil || recovered {
			return recovered, err
		}
	}
	if s.Snapshot == nil {
		return true, nil
	}
	if s.outcome.Snapshot, err = s.Snapshot(ctx); err != nil {
		return false, err
	}
	if !s.incomplete() {
		return true, nil
	}
	// More has come than is buffered, but the history may have it.
	before, reason := s.base, s.outcome.Reason
	s.start()
	ready, err = s.readReplay(ctx, before)
	s.outcome.Reason = reason
	return ready, err
}

func (s *subscription) incomplete() bool {
	defer s.engine.groups.lock(s.group)()
	return s.pending.incomplete
}

// readReplay reads the messages after a position, which becomes the base. It reports
// whether the history has all of them.
func (s *subscription) readReplay(ctx context.Context, since broker.Position) (bool, error) {
	if s.base.Epoch == "" {
		s.outcome.Reason = wire.ReasonOff
		return false, nil
	}
	// The history may be ahead of the sequencer, which gets the rest from here as well.
	from := min(since.Offset, s.base.Offset)
	h, err := s.engine.config.Upstream.History(ctx, s.group.name, from, maxReplay)
	if err != nil {
		s.engine.config.Logger.Error("rohrpost: read a history", "group", s.group.name, "error", err)
		return false, ErrUnavailable
	}
	posts := postsOf(h.Messages)
	if s.outcome.Reason = s.replayProblem(since, from, h.Position, posts); s.outcome.Reason != "" {
		return false, nil
	}
	s.base, s.replay = since, posts
	return true, nil
}

// replayProblem returns why the messages after since cannot be replayed, "" if they
// can.
func (s *subscription) replayProblem(since broker.Position, from uint64, at broker.Position, posts []post) string {
	bytes := 0
	for i := range posts {
		bytes += len(posts[i].frame)
	}
	switch {
	case at.Epoch != since.Epoch, since.Offset > at.Offset:
		return wire.ReasonEpoch
	case at.Offset-from > maxReplay, over(bytes, half(s.engine.config.MaxSendQueueBytes)):
		return wire.ReasonTooFar
	case !contiguous(posts, from, at.Offset):
		return wire.ReasonTrimmed
	}
	return ""
}

// finish does the rest in one step. It reports false if the history has moved on so
// that there would be a hole.
func (s *subscription) finish() (done bool, err error) {
	m := s.member
	m.mu.Lock()
	defer m.mu.Unlock()
	defer s.engine.groups.lock(s.group)()
	if !s.settleBase() {
		return false, nil
	}
	follows, ok := s.follows()
	if !ok {
		return false, nil
	}
	if err := m.mayJoin(s.group); err != nil {
		return true, err
	}
	f, err := s.answer(len(follows))
	if err != nil {
		return true, err
	}
	ops := make([]op, 0, len(follows)+2)
	ops = append(ops, op{kind: opDirect, member: m, frame: f})
	for i := range follows {
		ops = append(ops, op{kind: opDirect, member: m, frame: follows[i].frame})
	}
	for i := range ops {
		m.writer.reserve(len(ops[i].frame)) // it may exceed the send queue by a replay
	}
	if list, added := m.addTo(s.group); added {
		ops = append(ops, op{kind: opJoin, member: m, list: list})
	}
	m.worker.queue(ops...) // they leave with the other replies
	s.count()
	return true, nil
}

// settleBase passes the replay through the sequencer, since the history may be ahead of
// it, and takes the position of the group as base where nothing is replayed. It reports
// false if the base belongs to a history that has ended.
func (s *subscription) settleBase() bool {
	sequencer := &s.group.sequencer
	if s.base.Epoch != sequencer.at.Epoch || !sequencer.isOpen() {
		return false
	}
	for i := range s.replay {
		if sequencer.accept(s.replay[i].at) == inOrder {
			s.group.send(&s.replay[i])
		}
	}
	if s.outcome.Snapshot == nil && !s.outcome.Recovered {
		s.base = sequencer.at
	}
	return true
}

// follows returns the messages after the base that are for this member alone; the
// other members have had them. It reports false if some are missing.
func (s *subscription) follows() ([]post, bool) {
	if s.outcome.Snapshot == nil && !s.outcome.Recovered {
		return nil, true
	}
	if s.pending.incomplete {
		return nil, false
	}
	if s.base.Epoch == "" {
		return s.pending.buffered, true
	}
	at := s.group.sequencer.at
	var follows []post
	add := func(posts []post) {
		for _, p := range posts {
			if next := s.base.Offset + uint64(len(follows)) + 1; p.at.Offset == next && next <= at.Offset {
				follows = append(follows, p)
			}
		}
	}
	add(s.replay)
	add(s.pending.buffered)
	return follows, at.Offset >= s.base.Offset && contiguous(follows, s.base.Offset, at.Offset)
}

func (s *subscription) answer(missed int) (wire.Frame, error) {
	s.outcome.Position = s.base
	if s.outcome.Recovered && s.base.Epoch != "" {
		s.outcome.Missed = missed
		s.outcome.Position.Offset += uint64(missed)
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
