package upstream

import (
	"context"
	"encoding/json"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/history"
)

// local is the Upstream of a hub alone. Its history keeps frames.
type local struct {
	store    *history.Store
	receiver Receiver
}

// NewLocal returns the Upstream of a hub without a broker. It starts nothing.
func NewLocal(store *history.Store, r Receiver) Upstream {
	store.Listen(history.Listener{
		Deliver: r.Deliver,
		Signal:  func(m broker.Message) { r.Signal(m.Stream, m.Payload) },
	})
	return &local{store, r}
}

func (l *local) Publish(batch []broker.Message) {
	l.store.Publish(batch)
	l.receiver.Publish()
}

func (l *local) Signal(m broker.Message) error {
	l.store.Signal(m)
	l.receiver.Publish()
	return nil
}

func (l *local) Take(_ context.Context, batches []broker.Batch) error {
	l.store.Take(batches)
	l.receiver.Start()
	return nil
}

func (l *local) Taken(_ context.Context, source string) (uint64, error) {
	return l.store.Taken(source), nil
}

func (l *local) ResyncAll(pattern string, object json.RawMessage) ([]broker.Message, error) {
	groups, err := l.receiver.Matching(pattern)
	if err != nil {
		return nil, err
	}
	return resyncs(l.receiver, groups, object)
}

func (l *local) Order(context.Context, Order) error { return nil }

func (l *local) Shared() bool { return false }

func (l *local) HasHistory(group string) bool { return l.store.Has(group) }

func (l *local) Histories(match func(string) bool) []string { return l.store.Keys(match) }

func (l *local) Follow(group string, open func(at broker.Position) bool, _ func() bool) {
	if !open(l.store.Subscribe(group)) {
		l.store.Unsubscribe(group)
	}
}

func (l *local) Unfollow(group string) { l.store.Unsubscribe(group) }

func (l *local) History(_ context.Context, group string, after uint64, limit int) (broker.History, error) {
	return l.store.History(group, after, limit), nil
}

func (l *local) Outdated(context.Context, string, broker.Position, broker.Position) bool {
	return false
}

func (l *local) Position(_ context.Context, group string) (broker.Position, error) {
	at := l.store.Subscribe(group)
	l.store.Unsubscribe(group)
	return at, nil
}

func (l *local) Flush(context.Context) error { return nil }

func (l *local) Close(context.Context) { l.store.Close() }

// resyncs returns a resync for each group.
func resyncs(r Receiver, groups []string, object json.RawMessage) (batch []broker.Message, err error) {
	for _, group := range groups {
		m, err := r.Resync(group, object)
		if err != nil {
			return nil, err
		}
		batch = append(batch, m)
	}
	return batch, nil
}
