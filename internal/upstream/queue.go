package upstream

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"sync"

	"github.com/rohrpost/rohrpost/broker"
)

const (
	// maxQueueBytes is the bytes of messages that may wait for a broker.
	maxQueueBytes = 32 << 20

	// maxOverflowed is the number of groups that get a resync each after an overflow. If
	// there are more, all groups get one.
	maxOverflowed = 1000
)

// publishQueue hands calls to a broker, in order and off the publisher's goroutine: a
// broker that is slow or away delays no publisher. Messages beyond the limit are
// dropped, and their groups get a resync. The queue has a goroutine only while a call
// waits.
type publishQueue struct {
	remote *remote
	limit  int // bytes that may wait

	mu         sync.Mutex // guards what follows
	waiting    []brokerCall
	bytes      int
	overflowed map[string]bool // of the last call that waits, if it is for an overflow
	running    chan struct{}   // closed when the goroutine ends; nil: there is none
}

// brokerCall is one call of the broker. One of its fields is set.
type brokerCall struct {
	batch       []broker.Message
	unsubscribe string
	overflowed  map[string]bool // groups that have lost messages
}

func (c *brokerCall) bytes() (n int) {
	for i := range c.batch {
		n += len(c.batch[i].Payload)
	}
	return n
}

func (q *publishQueue) init(r *remote) { q.remote, q.limit = r, maxQueueBytes }

// add queues a call.
func (q *publishQueue) add(c brokerCall) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.bytes += c.bytes(); q.bytes > q.limit {
		q.bytes -= c.bytes()
		q.overflow(c.batch)
	} else {
		q.waiting, q.overflowed = append(q.waiting, c), nil
	}
	if q.running == nil {
		running := make(chan struct{})
		q.running = running
		q.remote.Tasks.Go(func(ctx context.Context) {
			defer close(running)
			q.callAll(ctx)
		})
	}
}

// overflow drops messages, and queues a resync of their groups in their place.
func (q *publishQueue) overflow(batch []broker.Message) {
	if q.overflowed == nil {
		q.overflowed = make(map[string]bool)
		q.waiting = append(q.waiting, brokerCall{overflowed: q.overflowed})
	}
	for i := range batch {
		if m := &batch[i]; !m.Plain && len(q.overflowed) <= maxOverflowed {
			q.overflowed[m.Stream] = true
		}
	}
}

// callAll does the calls until none waits.
func (q *publishQueue) callAll(ctx context.Context) {
	for ctx.Err() == nil {
		c, ok := q.next()
		if !ok {
			return
		}
		q.remote.retry(ctx, "publish to the broker", func(ctx context.Context) error { return q.call(ctx, &c) })
	}
}

func (q *publishQueue) next() (c brokerCall, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.waiting, q.running = nil, nil
		return c, false
	}
	c = q.waiting[0]
	q.waiting[0] = brokerCall{}
	q.waiting = q.waiting[1:]
	q.bytes -= c.bytes()
	if c.overflowed != nil && len(q.waiting) == 0 {
		q.overflowed = nil
	}
	return c, true
}

func (q *publishQueue) call(ctx context.Context, c *brokerCall) error {
	if c.unsubscribe != "" {
		return q.remote.Broker.Unsubscribe(ctx, c.unsubscribe)
	}
	if c.overflowed != nil {
		batch, err := q.resyncs(c.overflowed)
		if err != nil {
			return err
		}
		c.batch, c.overflowed = batch, nil
	}
	return q.remote.Broker.Publish(ctx, c.batch)
}

// resyncs returns the resyncs for groups that have lost messages.
func (q *publishQueue) resyncs(groups map[string]bool) (batch []broker.Message, err error) {
	if len(groups) > maxOverflowed {
		return q.remote.ResyncAll(q.remote.AnyGroup, q.remote.Overflow)
	}
	batch, err = resyncs(q.remote.Receiver, slices.Sorted(maps.Keys(groups)), q.remote.Overflow)
	for i := range batch {
		batch[i].ID = rand.Text()
	}
	return batch, err
}

// flush waits until no call waits any more, or ctx ends.
func (q *publishQueue) flush(ctx context.Context) {
	q.mu.Lock()
	running := q.running
	q.mu.Unlock()
	if running == nil {
		return
	}
	select {
	case <-running:
	case <-ctx.Done():
	}
}
