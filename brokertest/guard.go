package brokertest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/rohrpost/rohrpost/broker"
)

// guard is a broker whose panics become errors, as do its calls that do not return.
type guard struct {
	given broker.Broker
	limit time.Duration // for each call but Run
	stuck *atomic.Bool  // a call has not returned: further ones would wait as long
}

func guarded(b broker.Broker, c Config) guard {
	return guard{given: b, limit: 10 * c.Patience, stuck: &atomic.Bool{}}
}

// call calls a method. A call that takes longer than the limit stays behind: the suite
// must end with every broker.
func call[T any](g guard, method string, f func() (T, error)) (T, error) {
	var none T
	if g.stuck.Load() {
		return none, fmt.Errorf("%s is not called: an earlier call has not returned", method)
	}
	type result struct {
		value T
		err   error
	}
	returned := make(chan result, 1)
	go func() {
		var r result
		defer func() { returned <- r }()
		defer recovered(&r.err)
		r.value, r.err = f()
	}()
	select {
	case r := <-returned:
		return r.value, r.err
	case <-time.After(g.limit):
		g.stuck.Store(true)
		return none, fmt.Errorf("%s has not returned within %s", method, g.limit)
	}
}

// do is call for a method without a result.
func (g guard) do(method string, f func() error) error {
	_, err := call(g, method, func() (struct{}, error) { return struct{}{}, f() })
	return err
}

func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("the broker panicked: %v", p)
	}
}

func (g guard) Publish(ctx context.Context, batches []broker.Batch) error {
	return g.do("Publish", func() error { return g.given.Publish(ctx, batches) })
}

func (g guard) Taken(ctx context.Context, source string) (uint64, error) {
	return call(g, "Taken", func() (uint64, error) { return g.given.Taken(ctx, source) })
}

func (g guard) Follow(ctx context.Context, streams []string) ([]broker.Position, error) {
	return call(g, "Follow", func() ([]broker.Position, error) { return g.given.Follow(ctx, streams) })
}

func (g guard) Unfollow(ctx context.Context, streams []string) error {
	return g.do("Unfollow", func() error { return g.given.Unfollow(ctx, streams) })
}

func (g guard) Read(ctx context.Context, stream string, after uint64, limit int) (broker.History, error) {
	return call(g, "Read", func() (broker.History, error) { return g.given.Read(ctx, stream, after, limit) })
}

func (g guard) Positions(ctx context.Context, streams []string) ([]broker.Position, error) {
	return call(g, "Positions", func() ([]broker.Position, error) { return g.given.Positions(ctx, streams) })
}

func (g guard) Run(ctx context.Context, ready func(), deliver func(batch []broker.Message)) (err error) {
	defer recovered(&err)
	return g.given.Run(ctx, ready, deliver)
}

func (g guard) Signal(ctx context.Context, messages []broker.Message) error {
	s, ok := g.given.(broker.Signaler)
	if !ok {
		return errors.New("the broker is no Signaler")
	}
	return g.do("Signal", func() error { return s.Signal(ctx, messages) })
}

// limits are those of a Limiter, else zero.
func (g guard) limits() broker.Limits {
	if l, ok := g.given.(broker.Limiter); ok {
		return l.Limits()
	}
	return broker.Limits{}
}
