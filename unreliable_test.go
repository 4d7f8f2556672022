package rohrpost

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
)

// unreliable is a broker whose deliveries come when a test lets them, if at all, and
// that can lose everything. What it keeps is a Memory's business.
type unreliable struct {
	limits History

	mu       sync.Mutex // guards what follows
	memory   *Memory
	counts   map[string]int // of subscriptions
	deliver  func([]BrokerMessage)
	pending  [][]BrokerMessage
	listened chan struct{}
}

func newUnreliable(limits History) *unreliable {
	u := &unreliable{limits: limits, counts: map[string]int{}, listened: make(chan struct{})}
	u.begin()
	return u
}

func (u *unreliable) begin() {
	u.memory = NewMemory(u.limits)
	u.memory.listen(func(batch []BrokerMessage) { u.pending = append(u.pending, batch) })
	for stream, count := range u.counts {
		for range count {
			_, _, _ = u.memory.Subscribe(context.Background(), stream)
		}
	}
}

// restart loses everything that was kept; the subscriptions are the broker's to renew.
func (u *unreliable) restart() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.memory.close()
	u.begin()
}

// next delivers something that is pending, or does worse.
func (u *unreliable) next(random *rand.Rand) {
	u.mu.Lock()
	if len(u.pending) == 0 {
		u.mu.Unlock()
		return
	}
	at, what := 0, random.IntN(100)
	if what < 10 { // out of order
		at = random.IntN(len(u.pending))
	}
	batch := u.pending[at]
	if what < 90 { // else it comes again
		u.pending = slices.Delete(u.pending, at, at+1)
	}
	u.mu.Unlock()
	if what < 10 || what >= 20 { // else it is lost
		u.deliver(slices.Clone(batch))
	}
}

func (u *unreliable) left() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.pending)
}

// Run implements Broker.
func (u *unreliable) Run(ctx context.Context, deliver func([]BrokerMessage)) error {
	u.deliver = deliver
	close(u.listened)
	<-ctx.Done()
	return ctx.Err()
}

// Publish implements Broker.
func (u *unreliable) Publish(ctx context.Context, batch []BrokerMessage) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.memory.Publish(ctx, batch)
}

// Subscribe implements Broker.
func (u *unreliable) Subscribe(ctx context.Context, stream string) (string, uint64, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.counts[stream]++
	return u.memory.Subscribe(ctx, stream)
}

// Unsubscribe implements Broker.
func (u *unreliable) Unsubscribe(ctx context.Context, stream string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.counts[stream]--
	return u.memory.Unsubscribe(ctx, stream)
}

// History implements Broker.
func (u *unreliable) History(ctx context.Context, stream string, after uint64, limit int) (string, uint64, []BrokerMessage, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.memory.History(ctx, stream, after, limit)
}

// Positions implements Broker.
func (u *unreliable) Positions(ctx context.Context, streams []string) ([]string, []uint64, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.memory.Positions(ctx, streams)
}

// between lets a test do something before and after a history is read for a
// connection.
type between struct {
	Broker
	do func(ctx context.Context)
}

func (b between) History(ctx context.Context, stream string, after uint64, limit int) (string, uint64, []BrokerMessage, error) {
	b.do(ctx)
	epoch, offset, messages, err := b.Broker.History(ctx, stream, after, limit)
	b.do(ctx)
	return epoch, offset, messages, err
}
