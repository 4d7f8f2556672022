package rohrpost

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"sync"

	"github.com/rohrpost/rohrpost/internal/wire"
)

// maxLane is how many bytes of messages may wait for a broker.
const maxLane = 32 << 20

// maxLost is how many groups are told one by one that something is lost.
const maxLost = 1000

// lane is the way to a broker, in order and off the goroutine of who publishes: a
// broker that is slow, or away, delays nobody. What is too much for it is lost, and
// its groups are told to load their state again. It has a goroutine only while
// something waits.
type lane struct {
	remote *remote
	limit  int // bytes that may wait

	mu      sync.Mutex // guards what follows
	waiting []errand
	bytes   int
	lost    map[string]bool // of the last errand, if it says what was lost
	running chan struct{}   // closed when the goroutine ends; nil: there is none
}

// errand is one thing to do at the broker.
type errand struct {
	batch       []BrokerMessage
	unsubscribe string
	lost        map[string]bool // groups that have lost something
}

func (e *errand) bytes() (n int) {
	for i := range e.batch {
		n += len(e.batch[i].Payload)
	}
	return n
}

// add lets something wait for its turn.
func (l *lane) add(e errand) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bytes += e.bytes(); l.bytes > l.limit {
		l.bytes -= e.bytes()
		l.lose(e.batch)
	} else {
		l.waiting, l.lost = append(l.waiting, e), nil
	}
	if l.running == nil {
		running := make(chan struct{})
		l.running = running
		l.remote.hub.tasks.Go(func(ctx context.Context) {
			defer close(running)
			l.run(ctx)
		})
	}
}

// lose notes who has lost something, at this place in the order.
func (l *lane) lose(batch []BrokerMessage) {
	if l.lost == nil {
		l.lost = make(map[string]bool)
		l.waiting = append(l.waiting, errand{lost: l.lost})
	}
	for i := range batch {
		if m := &batch[i]; !m.Plain && len(l.lost) <= maxLost {
			l.lost[m.Stream] = true
		}
	}
}

// run does what waits until nothing does.
func (l *lane) run(ctx context.Context) {
	for ctx.Err() == nil {
		e, ok := l.next()
		if !ok {
			return
		}
		l.remote.insist(ctx, "publishing by the broker", func(ctx context.Context) error { return l.do(ctx, &e) })
	}
}

func (l *lane) next() (e errand, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		l.waiting, l.running = nil, nil
		return e, false
	}
	e = l.waiting[0]
	l.waiting[0] = errand{}
	l.waiting = l.waiting[1:]
	l.bytes -= e.bytes()
	if e.lost != nil && len(l.waiting) == 0 {
		l.lost = nil
	}
	return e, true
}

func (l *lane) do(ctx context.Context, e *errand) error {
	broker := l.remote.hub.broker
	if e.unsubscribe != "" {
		return broker.Unsubscribe(ctx, e.unsubscribe)
	}
	if e.lost != nil {
		e.batch, e.lost = l.resyncs(e.lost), nil
	}
	return broker.Publish(ctx, e.batch)
}

// resyncs are what groups are told that have lost something.
func (l *lane) resyncs(lost map[string]bool) (batch []BrokerMessage) {
	if len(lost) > maxLost {
		all := wire.NewResync(wire.AnyGroup, "flood")
		return []BrokerMessage{l.remote.tellAll(&all)}
	}
	for _, group := range slices.Sorted(maps.Keys(lost)) {
		batch = append(batch, BrokerMessage{Stream: group, ID: rand.Text(), Payload: wire.ResyncPayload(group, "flood")})
	}
	return batch
}

// flush waits until nothing waits any more, or ctx ends.
func (l *lane) flush(ctx context.Context) {
	l.mu.Lock()
	running := l.running
	l.mu.Unlock()
	if running == nil {
		return
	}
	select {
	case <-running:
	case <-ctx.Done():
	}
}
