package fanout

import (
	"context"
	"time"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/tasks"
	"github.com/rohrpost/rohrpost/internal/wire"
)

const (
	// historyTimeout is the time that the upstream has to return a history.
	historyTimeout = 5 * time.Second

	// maxReads is the number of failed attempts to read a history after which the
	// Engine gives up.
	maxReads = 3

	// maxReplay is the number of messages that are replayed at most. A client that has
	// missed more loads its snapshot faster.
	maxReplay = 10_000
)

// Compare compares the position of a group with that of its stream. The group was at
// one position when the stream was, or came, to another. If the group has missed
// something, the Engine fills the gap.
func (e *Engine) Compare(group string, was, stream broker.Position) {
	s := e.groups.shard(group)
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.groups[group]
	if g == nil {
		return
	}
	now := g.sequencer.at
	wentBack := stream.Epoch == was.Epoch && stream.Offset < was.Offset
	if wentBack || stream.Epoch != now.Epoch && now == was || stream.Epoch == now.Epoch && stream.Offset > now.Offset {
		e.startFilling(g)
	}
}

// startFilling starts a task that fills the gap of a group, unless one runs. It is
// called with the lock of the shard.
func (e *Engine) startFilling(g *group) {
	if !g.sequencer.isOpen() || g.sequencer.filling {
		return
	}
	g.sequencer.filling = true
	e.config.Go(func(ctx context.Context) { e.fillGap(ctx, g) })
}

// fillGap reads from the history what the sequencer of a group has missed. Publishing
// goes on beside it.
func (e *Engine) fillGap(ctx context.Context, g *group) {
	for failures := 0; ctx.Err() == nil; {
		at, missed, ok := e.gapOf(g)
		if !ok {
			return
		}
		reading, cancel := context.WithTimeout(ctx, historyTimeout)
		h, err := e.config.Upstream.History(reading, g.name, at.Offset, maxReplay)
		cancel()
		if err == nil {
			if e.closeGap(g, missed, h) {
				return
			}
			continue
		}
		if failures++; failures == maxReads {
			e.config.Logger.Error("rohrpost: read a history", "group", g.name, "error", err)
			e.skipGap(g)
			return
		}
		tasks.Pause(ctx, 100*time.Millisecond<<failures)
	}
}

// gapOf returns the position of the sequencer, and how many messages it has not
// passed: a history that is read afterwards has them all.
func (e *Engine) gapOf(g *group) (at broker.Position, missed uint, ok bool) {
	defer e.groups.lock(g)()
	return g.sequencer.at, g.sequencer.missed, !g.gone
}

// closeGap sends the members what the history has after the position of the
// sequencer, or a resync if that is not everything. It reports whether the gap is
// closed.
func (e *Engine) closeGap(g *group, missed uint, h broker.History) bool {
	defer e.Start()
	defer e.groups.lock(g)()
	s := &g.sequencer
	posts := postsOf(h.Messages)
	switch {
	case h.Position.Epoch != s.at.Epoch:
		g.resync(h.Position, wire.ReasonEpoch)
	case h.Position.Offset < s.at.Offset || !contiguous(posts, s.at.Offset, h.Position.Offset):
		g.resync(h.Position, wire.ReasonTrimmed)
	default:
		for i := range posts {
			s.at.Offset = posts[i].at.Offset
			e.pass(g, &posts[i])
		}
	}
	s.filling = s.missed != missed && !s.covers(h.Position) && !g.gone
	return !s.filling
}

// skipGap gives up the messages in the gap: the members load their snapshot again.
func (e *Engine) skipGap(g *group) {
	defer e.Start()
	defer e.groups.lock(g)()
	s := &g.sequencer
	to := s.ahead
	if s.missed == 0 || to.Epoch == s.at.Epoch && to.Offset < s.at.Offset {
		to = s.at // Compare has found the gap
	}
	g.resync(to, wire.ReasonBroker)
	s.filling = false
}

func postsOf(messages []broker.Message) []post {
	posts := make([]post, len(messages))
	for i := range messages {
		posts[i] = postOf(&messages[i])
	}
	return posts
}

// contiguous reports whether posts are all messages from one offset to another.
func contiguous(posts []post, after, upTo uint64) bool {
	for i := range posts {
		if posts[i].before > after || posts[i].at.Offset <= after {
			return false
		}
		after = posts[i].at.Offset
	}
	return after == upTo
}
