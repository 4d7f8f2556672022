package upstream

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/tasks"
)

// refusedPause is the time after which groups get their resync when the broker has
// refused that too.
const refusedPause = 10 * time.Second

// publishCall is a call of the broker with batches, which is repeated with the same
// numbers until its outcome is known. In place of a batch that the broker refuses, its
// groups get a resync: also of one that may have been delivered in an epoch that has ended,
// since clients would get it twice.
type publishCall struct {
	remote   *remote
	batches  []broker.Batch // those that are left
	replaced bool           // the first one has resyncs in place of its messages
}

// publish publishes what is left. After an error it is called again.
func (p *publishCall) publish(ctx context.Context) error {
	for len(p.batches) > 0 {
		batches, began := p.batches, time.Now()
		err := p.remote.call(ctx, func(ctx context.Context) error { return p.remote.Broker.Publish(ctx, batches) })
		if err == nil {
			return nil
		}
		var refused *broker.RefusedError
		if !errors.As(err, &refused) {
			p.try(began)
			return err
		}
		at := slices.IndexFunc(p.batches, func(b broker.Batch) bool {
			return b.Source == refused.Source && b.Number == refused.Number
		})
		if at < 0 {
			return err
		}
		p.replaced = p.replaced && at == 0
		p.batches = p.batches[at:]
		p.replace(refused)
	}
	return nil
}

// try notes when the batches were tried first. Orders and resyncs may be delivered twice.
func (p *publishCall) try(at time.Time) {
	p.batches = slices.Clone(p.batches) // a call may go on that the hub does not wait for
	for i := range p.batches {
		b := &p.batches[i]
		own := slices.ContainsFunc(b.Messages, func(m broker.Message) bool { return isOwn(m.Stream) })
		if b.Tried.IsZero() && !own && (i > 0 || !p.replaced) {
			b.Tried = at
		}
	}
}

// replace puts resyncs, as one batch, in place of one that the broker refuses: it has one
// number. If the broker has refused these too, their groups get them later.
func (p *publishCall) replace(refused *broker.RefusedError) {
	groups := groupsOf(p.batches[0].Messages)
	if p.replaced {
		p.batches, p.replaced = p.batches[1:], false
		p.remote.resyncLater(groups, refused)
		return
	}
	p.remote.lost(len(p.batches[0].Messages), refusal(refused), "groups", len(groups), "error", refused)
	p.batches = slices.Clone(p.batches) // as in try
	p.batches[0].Tried, p.replaced = time.Time{}, true
	p.batches[0].Messages = p.remote.resyncsOf(groups, p.remote.batchMessages())
}

// refusal returns what the log says of a refused batch. Nothing is to be done for one that was
// only tried.
func refusal(refused error) string {
	what := "rohrpost: the broker refuses a batch: its groups load their snapshots again"
	if errors.Is(refused, broker.ErrTried) {
		return what
	}
	return what + "; look whether messages are too large, or the engine is full"
}

func groupsOf(messages []broker.Message) (groups []string) {
	for i := range messages {
		groups = append(groups, messages[i].Stream)
	}
	slices.Sort(groups)
	return slices.Compact(groups)
}

// resyncLater tells groups after a while to load their snapshots again.
func (r *remote) resyncLater(groups []string, why error) {
	r.Logger.Error("rohrpost: the broker refuses a resync, too: it is tried again", "groups", len(groups), "after", refusedPause, "error", why)
	again := make(map[string]bool)
	for _, group := range groups[:min(len(groups), maxOverflowed+1)] {
		again[group] = true
	}
	r.Tasks.Go(func(ctx context.Context) {
		if tasks.Pause(ctx, refusedPause); ctx.Err() == nil {
			r.queue.addResyncs(again)
		}
	})
}
