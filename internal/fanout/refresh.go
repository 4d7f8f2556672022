package fanout

import (
	"context"
	"time"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/tasks"
)

// refreshPause is the time that a refresh gives a gap to be filled.
const refreshPause = 5 * time.Millisecond

// refresh returns when a group has got everything that was in its stream when refresh was
// called. It returns ErrUnavailable if that cannot be known in time.
func (e *Engine) refresh(ctx context.Context, g *group) error {
	r := e.nextRefresh(g)
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// nextRefresh returns a refresh that has yet to begin.
func (e *Engine) nextRefresh(g *group) *refresh {
	defer e.groups.lock(g)()
	if g.refresh == nil {
		g.refresh = &refresh{done: make(chan struct{}), err: ErrUnavailable}
		if !g.refreshing {
			g.refreshing = true
			e.config.Go(func(ctx context.Context) { e.refreshAll(ctx, g) })
		}
	}
	return g.refresh
}

// takeRefresh takes the refresh that is to begin, nil if nobody has asked for one.
func (e *Engine) takeRefresh(g *group) *refresh {
	defer e.groups.lock(g)()
	r := g.refresh
	g.refresh, g.refreshing = nil, r != nil
	return r
}

func (e *Engine) refreshAll(ctx context.Context, g *group) {
	for r := e.takeRefresh(g); r != nil; r = e.takeRefresh(g) {
		limited, cancel := withTimeout(ctx, e.config.OpenTimeout)
		r.err = e.readAhead(limited, g)
		cancel()
		close(r.done)
	}
}

// readAhead reads what the group has yet to get.
func (e *Engine) readAhead(ctx context.Context, g *group) error {
	for {
		at, _, ok := e.gapOf(g)
		if !ok || at.Epoch == "" {
			return nil // it has no history
		}
		h, err := e.config.Upstream.History(ctx, g.name, at.Offset, maxReplay)
		if err != nil {
			e.config.Logger.Warn("rohrpost: read a history before a client joins the group", "group", g.name, "error", err)
			return ErrUnavailable
		}
		if e.takeAhead(g, h) {
			return nil
		}
		if tasks.Pause(ctx, refreshPause); ctx.Err() != nil {
			return ErrUnavailable
		}
	}
}

// takeAhead passes what a history has after the position of the sequencer, and reports
// whether the group has everything in it. Else the gap is filled.
func (e *Engine) takeAhead(g *group, h broker.History) bool {
	defer e.Start()
	defer e.groups.lock(g)()
	posts := postsOf(h.Messages)
	for i := range posts {
		if g.sequencer.accept(posts[i].at, posts[i].before) == inOrder {
			e.pass(g, &posts[i])
		}
	}
	if at := g.sequencer.at; g.gone || at.Epoch == h.Position.Epoch && at.Offset >= h.Position.Offset {
		return true
	}
	e.startFilling(g)
	return false
}
