package upstream

import (
	"context"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/panics"
)

// guarded is a broker whose failures are errors, whatever they are: adapters are not
// ours. Each call has a goroutine of its own, which costs little beside a round trip.
type guarded struct{ broker broker.Broker }

// Run implements broker.Broker.
func (g guarded) Run(ctx context.Context, ready func(), deliver func([]broker.Message)) error {
	return panics.Isolate(func() error { return g.broker.Run(ctx, ready, deliver) })
}

// Publish implements broker.Broker.
func (g guarded) Publish(ctx context.Context, batches []broker.Batch) error {
	return panics.Isolate(func() error { return g.broker.Publish(ctx, batches) })
}

// Taken implements broker.Broker.
func (g guarded) Taken(ctx context.Context, source string) (number uint64, err error) {
	err = panics.Isolate(func() (err error) {
		number, err = g.broker.Taken(ctx, source)
		return err
	})
	return number, err
}

// Follow implements broker.Broker.
func (g guarded) Follow(ctx context.Context, streams []string) (at []broker.Position, err error) {
	err = panics.Isolate(func() (err error) {
		at, err = g.broker.Follow(ctx, streams)
		return err
	})
	return at, err
}

// Unfollow implements broker.Broker.
func (g guarded) Unfollow(ctx context.Context, streams []string) error {
	return panics.Isolate(func() error { return g.broker.Unfollow(ctx, streams) })
}

// Read implements broker.Broker.
func (g guarded) Read(ctx context.Context, stream string, after uint64, limit int) (h broker.History, err error) {
	err = panics.Isolate(func() (err error) {
		h, err = g.broker.Read(ctx, stream, after, limit)
		return err
	})
	return h, err
}

// Positions implements broker.Broker.
func (g guarded) Positions(ctx context.Context, streams []string) (at []broker.Position, err error) {
	err = panics.Isolate(func() (err error) {
		at, err = g.broker.Positions(ctx, streams)
		return err
	})
	return at, err
}

// Limits are those of a broker.Limiter. Another broker has none.
func (g guarded) Limits() (limits broker.Limits) {
	if limiter, ok := g.broker.(broker.Limiter); ok {
		_ = panics.Isolate(func() error {
			limits = limiter.Limits()
			return nil
		})
	}
	return limits
}

// Signal implements broker.Signaler.
func (g guarded) Signal(ctx context.Context, messages []broker.Message) error {
	return panics.Isolate(func() error { return g.broker.(broker.Signaler).Signal(ctx, messages) })
}

// signaler returns nil if the broker is none.
func (g guarded) signaler() broker.Signaler {
	if _, ok := g.broker.(broker.Signaler); ok {
		return g
	}
	return nil
}
