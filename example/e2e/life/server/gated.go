package main

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/broker"
)

// gated is a broker that can be away: it takes and tells nothing.
type gated struct {
	*rohrpost.MemoryBroker
	away atomic.Bool
}

var errAway = errors.New("the broker is away")

func (g *gated) Publish(ctx context.Context, batches []broker.Batch) error {
	if g.away.Load() {
		return errAway
	}
	return g.MemoryBroker.Publish(ctx, batches)
}

func (g *gated) Taken(ctx context.Context, source string) (uint64, error) {
	if g.away.Load() {
		return 0, errAway
	}
	return g.MemoryBroker.Taken(ctx, source)
}

func (g *gated) Read(ctx context.Context, stream string, after uint64, limit int) (broker.History, error) {
	if g.away.Load() {
		return broker.History{}, errAway
	}
	return g.MemoryBroker.Read(ctx, stream, after, limit)
}

func (g *gated) Positions(ctx context.Context, streams []string) ([]broker.Position, error) {
	if g.away.Load() {
		return nil, errAway
	}
	return g.MemoryBroker.Positions(ctx, streams)
}
