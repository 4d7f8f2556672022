package fanout

import (
	"context"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// prepare reads the replay and, where that is not complete, the snapshot. It reports
// whether the subscription can be finished.
func (s *subscription) prepare(ctx context.Context) (ready bool, err error) {
	s.takePosition()
	s.outcome = Outcome{Resumed: s.Since != nil, Reason: s.outcome.Reason}
	if s.Since != nil && !s.partial && s.mayResume(ctx) {
		recovered, err := s.readReplay(ctx, *s.Since)
		if s.outcome.Recovered = recovered; err != nil || recovered {
			return recovered, err
		}
	}
	if err := s.becomeCurrent(ctx); err != nil {
		return false, err
	}
	if s.Snapshot == nil {
		return true, nil
	}
	return s.readSnapshot(ctx)
}

// becomeCurrent takes a position that is not before the decision of the permit, where the
// member may have nothing from before.
func (s *subscription) becomeCurrent(ctx context.Context) error {
	if !s.FromNow || s.least.Epoch != "" || s.isMember() {
		return nil
	}
	if s.engine.config.Shared {
		if err := s.engine.refresh(ctx, s.group); err != nil {
			return err
		}
		s.takePosition()
	}
	s.least = s.base
	return nil
}

// mayResume reports whether the member may have what it has missed, and whether that can
// be all.
func (s *subscription) mayResume(ctx context.Context) bool {
	outdated := s.engine.config.Upstream.Outdated(ctx, s.group.name, *s.Since, s.base) // from now on earlier revocations are known
	switch {
	case s.Permit != nil && !s.Permit.MayResume(*s.Since):
		s.outcome.Reason = wire.ReasonRevoked
	case outdated:
		s.outcome.Reason = wire.ReasonResync
	default:
		return true
	}
	return false
}

// takePosition takes the position of the group. From now on changes are buffered.
func (s *subscription) takePosition() {
	defer s.engine.groups.lock(s.group)()
	s.pending = pendingSubscription{}
	s.base, s.replay = s.group.sequencer.at, nil
	s.told, s.sent = s.base.Offset, s.group.sequencer.sent
}

func (s *subscription) isMember() bool {
	s.member.mu.Lock()
	defer s.member.mu.Unlock()
	defer s.engine.groups.lock(s.group)()
	l := s.group.list(s.member.worker)
	return l != nil && s.member.groups[l].wanted
}

// readSnapshot reads the snapshot, and what has come after its position as far as that is
// not buffered.
func (s *subscription) readSnapshot(ctx context.Context) (ready bool, err error) {
	if err := s.mayJoin(); err != nil {
		return false, err
	}
	reason := s.outcome.Reason
	s.snapshot, err = s.Snapshot(ctx, s.base, func(from broker.Position) bool { return s.reach(ctx, from) })
	s.outcome.Reason = reason
	if err != nil {
		return false, err
	}
	s.outcome.Snapshot = s.snapshot.Parts[0]
	if s.snapshot.Position == s.base && !s.incomplete() {
		return true, nil
	}
	return s.catchUp(ctx)
}

// reach makes an earlier position the base, and reports whether the history has all
// messages from there to the buffered ones.
func (s *subscription) reach(ctx context.Context, from broker.Position) bool {
	if s.base.Epoch == "" || from.Epoch == s.least.Epoch && from.Offset < s.least.Offset {
		return false
	}
	ok, err := s.readReplay(ctx, from)
	return ok && err == nil
}

// mayJoin looks whether the member may join before anything is read for it.
func (s *subscription) mayJoin() error {
	s.member.mu.Lock()
	defer s.member.mu.Unlock()
	defer s.engine.groups.lock(s.group)()
	return s.member.mayJoin(s.group)
}

func (s *subscription) incomplete() bool {
	defer s.engine.groups.lock(s.group)()
	return s.pending.incomplete
}

// catchUp reads from the history what has come after the snapshot, which may be more
// than is buffered.
func (s *subscription) catchUp(ctx context.Context) (ready bool, err error) {
	reason := s.outcome.Reason
	s.takePosition()
	ready, err = s.readReplay(ctx, s.snapshot.Position)
	s.outcome.Reason = reason
	return ready, err
}

// readReplay reads the messages after a position, which becomes the base. It reports
// whether the history has all of them.
func (s *subscription) readReplay(ctx context.Context, since broker.Position) (bool, error) {
	if s.base.Epoch == "" {
		s.outcome.Reason = wire.ReasonOff
		return false, nil
	}
	told := since.Offset
	if since.Epoch == s.base.Epoch && s.sent <= since.Offset {
		since.Offset = max(since.Offset, s.base.Offset) // nothing was sent in between
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
	s.base, s.replay, s.told = since, posts, told
	return true, nil
}

// replayProblem returns why the messages after since cannot be replayed, "" if they
// can.
func (s *subscription) replayProblem(since broker.Position, from uint64, at broker.Position, posts []post) string {
	bytes := 0
	for i := range posts {
		bytes += len(posts[i].payload) + overhead
	}
	switch {
	case at.Epoch != since.Epoch, since.Offset > at.Offset:
		return wire.ReasonEpoch
	case len(posts) == maxReplay && posts[maxReplay-1].at.Offset < at.Offset, over(bytes, half(s.engine.config.MaxSendQueueBytes)):
		return wire.ReasonTooFar
	case !contiguous(posts, from, at.Offset):
		return wire.ReasonTrimmed
	}
	return ""
}

// settleBase passes the replay through the sequencer, since the history may be ahead of
// it, and takes the position of the group as base where nothing is replayed. It reports
// false if the base belongs to a history that has ended.
func (s *subscription) settleBase() bool {
	defer s.engine.Start()
	sequencer := &s.group.sequencer
	if s.base.Epoch != sequencer.at.Epoch || !sequencer.isOpen() {
		return false
	}
	for i := range s.replay {
		if sequencer.accept(s.replay[i].at, s.replay[i].before) == inOrder {
			s.engine.pass(s.group, &s.replay[i])
		}
	}
	if s.outcome.Snapshot == nil && !s.outcome.Recovered {
		s.base, s.told = sequencer.at, sequencer.at.Offset
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
	c := chain{subscription: s, at: s.base.Offset, sent: s.told}
	c.add(s.replay)
	c.add(s.pending.buffered)
	if c.at != s.group.sequencer.at.Offset {
		return nil, false
	}
	// The stream shows that nothing was sent in between, which the sequencer may not know.
	s.group.sequencer.sent = min(s.group.sequencer.sent, max(c.sent, s.told))
	return c.changes, true
}

// chain gathers the changes after the base of a subscription.
type chain struct {
	*subscription
	at      uint64 // the offset up to which the chain has everything
	sent    uint64 // the offset up to which the member has everything then
	changes []post
}

// add adds the messages that are the next ones.
func (c *chain) add(posts []post) {
	for _, p := range posts {
		if p.before > c.at || p.at.Offset <= c.at || p.at.Offset > c.group.sequencer.at.Offset {
			continue
		}
		if c.at = p.at.Offset; p.isEmpty() {
			continue
		}
		if p.frame == nil || p.prev > c.sent {
			c.engine.frameAfter(&p, c.sent, c.group.size)
		}
		c.sent = c.at
		c.changes = append(c.changes, p)
	}
}
