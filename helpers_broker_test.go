package rohrpost

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/history"
	"github.com/rohrpost/rohrpost/internal/upstream"
)

// testStore is a history.Store whose clock a test moves.
type testStore struct {
	*history.Store
	now atomic.Int64
}

func newStore(c history.Config) *testStore {
	s := &testStore{}
	c.Now = func() time.Duration { return time.Duration(s.now.Load()) }
	s.Store = history.New(c)
	return s
}

// expireUnused ends the streams without subscribers. Messages must not expire.
func (s *testStore) expireUnused() {
	s.now.Add(int64(24 * time.Hour))
	s.Expire()
}

// unreliable is a broker that delivers a message when a test calls next, or loses it,
// and that can lose all messages.
type unreliable struct {
	limits HistoryLimits

	mu       sync.Mutex // guards what follows
	memory   *testStore
	followed map[string]bool
	deliver  func([]broker.Message)
	pending  [][]broker.Message
	listened chan struct{}
}

func newUnreliable(limits HistoryLimits) *unreliable {
	u := &unreliable{limits: limits, followed: map[string]bool{}, listened: make(chan struct{})}
	u.begin()
	return u
}

func (u *unreliable) begin() {
	u.memory = newStore(history.Config{Limits: history.Limits(u.limits)})
	u.memory.Listen(history.Listener{
		Deliver: func(batch []broker.Message) { u.pending = append(u.pending, batch) },
		Signal:  func(broker.Message) {},
	})
	for stream := range u.followed {
		u.memory.Subscribe(stream)
	}
}

// restart loses all kept messages, and renews the subscriptions.
func (u *unreliable) restart() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.memory.Close()
	u.begin()
}

// next delivers a pending batch: in order or not, once or again, or not at all.
func (u *unreliable) next(random *rand.Rand) {
	u.mu.Lock()
	if len(u.pending) == 0 {
		u.mu.Unlock()
		return
	}
	at, roll := 0, random.IntN(100)
	if roll < 10 { // out of order
		at = random.IntN(len(u.pending))
	}
	batch := u.pending[at]
	if roll < 90 { // else the batch comes again
		u.pending = slices.Delete(u.pending, at, at+1)
	}
	u.mu.Unlock()
	if roll < 10 || roll >= 20 { // else the batch is lost
		u.deliver(slices.Clone(batch))
	}
}

func (u *unreliable) left() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.pending)
}

// Run implements Broker.
func (u *unreliable) Run(ctx context.Context, ready func(), deliver func([]broker.Message)) error {
	u.deliver = deliver
	close(u.listened)
	<-ctx.Done()
	return ctx.Err()
}

// Publish implements Broker.
func (u *unreliable) Publish(ctx context.Context, batches []broker.Batch) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.memory.Take(batches)
	return nil
}

// Taken implements Broker.
func (u *unreliable) Taken(ctx context.Context, source string) (uint64, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.memory.Taken(source), nil
}

// Follow implements Broker.
func (u *unreliable) Follow(ctx context.Context, streams []string) ([]broker.Position, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, stream := range streams {
		if !u.followed[stream] {
			u.followed[stream] = true
			u.memory.Subscribe(stream)
		}
	}
	return u.memory.Positions(streams), nil
}

// Unfollow implements Broker.
func (u *unreliable) Unfollow(ctx context.Context, streams []string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, stream := range streams {
		if u.followed[stream] {
			delete(u.followed, stream)
			u.memory.Unsubscribe(stream)
		}
	}
	return nil
}

// Read implements Broker.
func (u *unreliable) Read(ctx context.Context, stream string, after uint64, limit int) (broker.History, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.memory.History(stream, after, limit), nil
}

// Positions implements Broker.
func (u *unreliable) Positions(ctx context.Context, streams []string) ([]broker.Position, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.memory.Positions(streams), nil
}

// between is an upstream that calls a function before and after it reads a history for
// a connection.
type between struct {
	upstream.Upstream
	do func(ctx context.Context)
}

func (b between) History(ctx context.Context, stream string, after uint64, limit int) (broker.History, error) {
	b.do(ctx)
	h, err := b.Upstream.History(ctx, stream, after, limit)
	b.do(ctx)
	return h, err
}
