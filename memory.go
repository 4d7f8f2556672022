package rohrpost

import (
	"context"
	"fmt"
	"time"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/history"
)

// HistoryLimits limits what is kept of each group for clients that are disconnected. A
// group has a history from its first subscription, or from the first call of
// Hub.Position. A negative limit or duration means none.
type HistoryLimits struct {
	// MaxMessages is the number of messages kept of a group. Defaults to 1,000.
	MaxMessages int

	// MaxBytes is the bytes of messages kept of a group, where each counts 128 more than it
	// has. Defaults to 512 KiB.
	MaxBytes int

	// MaxAge is how long a message is kept. Defaults to 5 minutes.
	MaxAge time.Duration

	// KeepUnused is how long the history of a group goes on after its last member has
	// left. Then it ends, and with it the positions in it. Defaults to 5 minutes.
	KeepUnused time.Duration

	// MaxUnused is the number of histories without a member that go on. Beyond it those
	// end first whose last member left first. Defaults to 100,000.
	MaxUnused int

	// MaxTotalBytes is MaxBytes for all groups together. Beyond it the
	// groups without new messages for longest lose their oldest messages. The limit is
	// divided among shards by the names of the groups. Defaults to 64 MiB.
	MaxTotalBytes int
}

var _ broker.Broker = (*MemoryBroker)(nil)

// MemoryBroker is a broker.Broker inside one process. Several hubs may share one. What
// it keeps ends with the process: the next process has other epochs, so that no position
// of this one is taken for one of the next. It starts no goroutine and need not be
// closed. Make one with NewMemoryBroker. Its methods may be called concurrently.
type MemoryBroker struct{ store *history.Store }

// NewMemoryBroker returns a MemoryBroker that keeps messages within the limits.
func NewMemoryBroker(limits HistoryLimits) *MemoryBroker {
	return &MemoryBroker{history.New(history.Config{Limits: history.Limits(limits)})}
}

// Run implements broker.Broker.
func (m *MemoryBroker) Run(ctx context.Context, deliver func(batch []broker.Message)) error {
	defer m.store.Listen(deliver)()
	<-ctx.Done()
	return ctx.Err()
}

// Publish implements broker.Broker. It delivers before it returns.
func (m *MemoryBroker) Publish(_ context.Context, batch []broker.Message) error {
	if err := m.store.Publish(batch); err != nil {
		return fmt.Errorf("rohrpost: %w", err)
	}
	return nil
}

// Subscribe implements broker.Broker.
func (m *MemoryBroker) Subscribe(_ context.Context, stream string) (broker.Position, error) {
	return m.store.Subscribe(stream), nil
}

// Unsubscribe implements broker.Broker.
func (m *MemoryBroker) Unsubscribe(_ context.Context, stream string) error {
	m.store.Unsubscribe(stream)
	return nil
}

// History implements broker.Broker.
func (m *MemoryBroker) History(_ context.Context, stream string, after uint64, limit int) (broker.History, error) {
	return m.store.History(stream, after, limit), nil
}

// Positions implements broker.Broker.
func (m *MemoryBroker) Positions(_ context.Context, streams []string) ([]broker.Position, error) {
	return m.store.Positions(streams), nil
}
