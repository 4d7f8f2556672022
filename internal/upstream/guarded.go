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
func (g guarded) Run(ctx context.Context, deliver func([]broker.Message)) error {
	return panics.Isolate(func() error { return g.broker.Run(ctx, deliver) })
}

// Publish implements broker.Broker.
func (g guarded) Publish(ctx context.Context, batch []broker.Message) error {
	return panics.Isolate(func() error { return g.broker.Publish(ctx, batch) })
}

// Subscribe implements broker.Broker.
func (g guarded) Subscribe(ctx context.Context, stream string) (at broker.Position, err error) {
	err = panics.Isolate(func() (err error) {
		at, err = g.broker.Subscribe(ctx, stream)
		return err
	})
	return at, err
}

// Unsubscribe implements broker.Broker.
func (g guarded) Unsubscribe(ctx context.Context, stream string) error {
	return panics.Isolate(func() error { return g.broker.Unsubscribe(ctx, stream) })
}

// History implements broker.Broker.
func (g guarded) History(ctx context.Context, stream string, after uint64, limit int) (h broker.History, err error) {
	err = panics.Isolate(func() (err error) {
		h, err = g.broker.History(ctx, stream, after, limit)
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
