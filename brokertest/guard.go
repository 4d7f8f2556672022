package brokertest

import (
	"context"
	"errors"
	"fmt"

	"github.com/rohrpost/rohrpost/broker"
)

// guard is a broker whose panics become errors.
type guard struct{ given broker.Broker }

func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("the broker panicked: %v", p)
	}
}

func (g guard) Publish(ctx context.Context, batches []broker.Batch) (err error) {
	defer recovered(&err)
	return g.given.Publish(ctx, batches)
}

func (g guard) Taken(ctx context.Context, source string) (number uint64, err error) {
	defer recovered(&err)
	return g.given.Taken(ctx, source)
}

func (g guard) Follow(ctx context.Context, streams []string) (positions []broker.Position, err error) {
	defer recovered(&err)
	return g.given.Follow(ctx, streams)
}

func (g guard) Unfollow(ctx context.Context, streams []string) (err error) {
	defer recovered(&err)
	return g.given.Unfollow(ctx, streams)
}

func (g guard) Read(ctx context.Context, stream string, after uint64, limit int) (h broker.History, err error) {
	defer recovered(&err)
	return g.given.Read(ctx, stream, after, limit)
}

func (g guard) Positions(ctx context.Context, streams []string) (positions []broker.Position, err error) {
	defer recovered(&err)
	return g.given.Positions(ctx, streams)
}

func (g guard) Run(ctx context.Context, ready func(), deliver func(batch []broker.Message)) (err error) {
	defer recovered(&err)
	return g.given.Run(ctx, ready, deliver)
}

func (g guard) Signal(ctx context.Context, messages []broker.Message) (err error) {
	defer recovered(&err)
	if s, ok := g.given.(broker.Signaler); ok {
		return s.Signal(ctx, messages)
	}
	return errors.New("the broker is no Signaler")
}

// limits are those of a Limiter, else zero.
func (g guard) limits() broker.Limits {
	if l, ok := g.given.(broker.Limiter); ok {
		return l.Limits()
	}
	return broker.Limits{}
}
