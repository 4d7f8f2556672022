package rohrpost

import (
	"context"
	"time"

	"github.com/rohrpost/rohrpost/internal/tasks"
	"github.com/rohrpost/rohrpost/internal/wire"
)

const (
	// brokerTimeout is how long a broker has for one answer.
	brokerTimeout = 5 * time.Second

	// maxReads is how often a history is asked for that cannot be read.
	maxReads = 3
)

// catchUp reads from the history what the gate of a group has missed, beside those
// who publish.
func (h *Hub) catchUp(gr *group) {
	h.tasks.Go(func(ctx context.Context) {
		for failures := 0; ctx.Err() == nil; {
			at, turns, ok := h.groups.look(gr)
			if !ok {
				return
			}
			reading, cancel := context.WithTimeout(ctx, brokerTimeout)
			p, posts, err := h.history(reading, gr.name, at.Offset, maxMissed)
			cancel()
			if err == nil {
				if h.groups.mend(gr, turns, p, posts) {
					return
				}
				continue
			}
			if failures++; failures == maxReads {
				h.log.Error("reading a history", "group", gr.name, "error", err)
				h.groups.jump(gr)
				return
			}
			tasks.Pause(ctx, 100*time.Millisecond<<failures)
		}
	})
}

// look returns the position of a gate that is behind, and how often it has turned
// something away: all that is in the history that is read next.
func (g *groups) look(gr *group) (at Position, turns uint, ok bool) {
	defer g.lock(gr)()
	return gr.gate.Position, gr.gate.turns, !gr.gone
}

// mend hands the members what the history has after the position of the gate, or
// tells them to load their state again if that is not all. It reports whether the
// gate is behind no more.
func (g *groups) mend(gr *group, turns uint, p Position, posts []post) bool {
	defer g.lock(gr)()
	gate := &gr.gate
	if p.Epoch != gate.Epoch || p.Offset < gate.Offset || !whole(posts, gate.Offset, p.Offset) {
		reason := "trimmed"
		if p.Epoch != gate.Epoch {
			reason = "epoch"
		}
		gr.resync(p, reason)
	} else {
		for i := range posts {
			gate.Offset = posts[i].offset
			gr.tell(&posts[i])
		}
	}
	gate.behind = gate.turns != turns && !gate.covers(p) && !gr.gone
	return !gate.behind
}

// jump gives up what was missed: the members have to load their state again.
func (g *groups) jump(gr *group) {
	defer g.lock(gr)()
	at, gate := gr.gate.turned, &gr.gate
	if gate.turns == 0 || at.Epoch == gate.Epoch && at.Offset < gate.Offset {
		at = gate.Position // it was a check that said so
	}
	gr.resync(at, "broker")
	gate.behind = false
}

// resync lets the gate jump to a position, and tells the members.
func (gr *group) resync(to Position, reason string) {
	gr.gate.Position = to
	f := wire.ResyncFrame(gr.name, reason, to.Epoch, to.Offset)
	for _, part := range gr.active() {
		part.worker.add(op{kind: opPost, part: part, frame: f})
	}
	for _, a := range gr.arrivals {
		a.jump()
	}
}
