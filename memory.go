package rohrpost

import (
	"context"
	"errors"
	"sync"
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
	// without a message end first, then those whose last member left first. Defaults to
	// 100,000.
	MaxUnused int

	// MaxTotalBytes is MaxBytes for all groups together. Beyond it the
	// groups with more than their share lose their oldest messages, first those without new
	// messages for longest. The limit is
	// divided among shards by the names of the groups. Defaults to 64 MiB.
	MaxTotalBytes int
}

var (
	_ broker.Broker   = (*MemoryBroker)(nil)
	_ broker.Signaler = (*MemoryBroker)(nil)
	_ broker.Limiter  = (*MemoryBroker)(nil)
)

// MemoryBroker is a broker.Broker inside one process, for several hubs: the first one
// uses the MemoryBroker itself, each other one a Peer. What it keeps ends with the
// process: the next process has other epochs, so that no position of this one is taken
// for one of the next. It starts no goroutine and need not be closed. Make one with
// NewMemoryBroker. Its methods may be called concurrently.
type MemoryBroker struct {
	store *history.Store
	keep  time.Duration

	mu       sync.Mutex // guards what follows
	running  bool
	followed map[string]bool
}

// NewMemoryBroker returns a MemoryBroker that keeps messages within the limits.
func NewMemoryBroker(limits HistoryLimits) *MemoryBroker {
	kept := history.Limits(limits).WithDefaults()
	keep := max(kept.MaxAge, kept.KeepUnused)
	if min(kept.MaxAge, kept.KeepUnused) < 0 {
		keep = -1
	}
	return newMemoryBroker(history.New(history.Config{Limits: kept}), keep)
}

func newMemoryBroker(store *history.Store, keep time.Duration) *MemoryBroker {
	return &MemoryBroker{store: store, keep: keep, followed: make(map[string]bool)}
}

// Peer returns a MemoryBroker for one hub more, which shares all messages.
func (m *MemoryBroker) Peer() *MemoryBroker { return newMemoryBroker(m.store, m.keep) }

var errServesAHub = errors.New("rohrpost: this MemoryBroker serves a hub already: give each other hub a Peer of it")

// Run implements broker.Broker.
func (m *MemoryBroker) Run(ctx context.Context, ready func(), deliver func(batch []broker.Message)) error {
	if !m.begin() {
		return errServesAHub
	}
	defer m.end()
	defer m.store.Listen(history.Listener{
		Deliver: deliver,
		Signal:  func(s broker.Message) { deliver([]broker.Message{s}) },
	})()
	ready()
	<-ctx.Done()
	return ctx.Err()
}

// begin reports whether no other call of Run is running.
func (m *MemoryBroker) begin() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running {
		return false
	}
	m.running = true
	return true
}

func (m *MemoryBroker) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.running = false
}

// Publish implements broker.Broker. It delivers before it returns.
func (m *MemoryBroker) Publish(_ context.Context, batches []broker.Batch) error {
	m.store.Take(batches)
	return nil
}

// Taken implements broker.Broker.
func (m *MemoryBroker) Taken(_ context.Context, source string) (uint64, error) {
	return m.store.Taken(source), nil
}

// Signal implements broker.Signaler. It delivers before it returns, in order with Publish.
func (m *MemoryBroker) Signal(_ context.Context, messages []broker.Message) error {
	for i := range messages {
		m.store.Signal(messages[i])
	}
	return nil
}

// Follow implements broker.Broker.
func (m *MemoryBroker) Follow(_ context.Context, streams []string) ([]broker.Position, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, stream := range streams {
		if !m.followed[stream] {
			m.followed[stream] = true
			m.store.Subscribe(stream)
		}
	}
	return m.store.Positions(streams), nil
}

// Unfollow implements broker.Broker.
func (m *MemoryBroker) Unfollow(_ context.Context, streams []string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, stream := range streams {
		if m.followed[stream] {
			delete(m.followed, stream)
			m.store.Unsubscribe(stream)
		}
	}
	return nil
}

// Read implements broker.Broker.
func (m *MemoryBroker) Read(_ context.Context, stream string, after uint64, limit int) (broker.History, error) {
	return m.store.History(stream, after, limit), nil
}

// Positions implements broker.Broker.
func (m *MemoryBroker) Positions(_ context.Context, streams []string) ([]broker.Position, error) {
	return m.store.Positions(streams), nil
}

// Limits implements broker.Limiter.
func (m *MemoryBroker) Limits() broker.Limits { return broker.Limits{Keep: m.keep} }
