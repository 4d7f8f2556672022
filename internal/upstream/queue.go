package upstream

import (
	"context"
	"fmt"
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

	// A call of the broker has messages up to these limits, or one batch: one call at a time
	// is one round trip at a time.
	maxCallMessages = 200
	maxCallBytes    = 256 << 10
)

// publishQueue hands batches to a broker, in order and off the publisher's goroutine: a
// broker that is slow or away delays no publisher. Messages beyond the limit are
// dropped, and their groups get a resync. The queue has a goroutine only while something
// waits.
type publishQueue struct {
	remote *remote
	limit  int // bytes that may wait

	mu         sync.Mutex // guards what follows
	waiting    []queued
	bytes      int
	number     uint64          // of the last batch
	overflowed map[string]bool // of the last one that waits, if it is for an overflow
	running    bool            // there is a goroutine
	added      uint64          // counts what was queued
	done       uint64          // counts what was published of it
	progress   chan struct{}   // closed when done changes; nil: nothing waits for that
}

// queued is what is published together. One of its fields is set.
type queued struct {
	messages   []broker.Message
	overflowed map[string]bool // groups that have lost messages
}

func (c *queued) bytes() (n int) {
	for i := range c.messages {
		n += len(c.messages[i].Payload)
	}
	return n
}

func (q *publishQueue) init(r *remote) { q.remote, q.limit = r, maxQueueBytes }

// add queues messages.
func (q *publishQueue) add(messages []broker.Message) {
	c := queued{messages: messages}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.bytes += c.bytes(); q.bytes > q.limit {
		q.bytes -= c.bytes()
		q.overflow(messages)
	} else {
		q.append(c)
		q.overflowed = nil
	}
	q.begin()
}

// append is called with the lock.
func (q *publishQueue) append(c queued) {
	q.waiting = append(q.waiting, c)
	q.added++
}

// addResyncs queues resyncs of groups.
func (q *publishQueue) addResyncs(groups map[string]bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.append(queued{overflowed: groups})
	q.overflowed = nil
	q.begin()
}

// begin starts the goroutine, unless it runs. It is called with the lock.
func (q *publishQueue) begin() {
	if !q.running {
		q.running = true
		q.remote.Tasks.Go(q.publishAll)
	}
}

// overflow drops messages, and queues a resync of their groups in their place.
func (q *publishQueue) overflow(messages []broker.Message) {
	if q.overflowed == nil {
		q.overflowed = make(map[string]bool)
		q.append(queued{overflowed: q.overflowed})
	}
	for i := range messages {
		if len(q.overflowed) <= maxOverflowed {
			q.overflowed[messages[i].Stream] = true
		}
	}
	q.remote.lost(len(messages), "rohrpost: the publish queue is full: the broker is away, or slower than the program publishes; "+
		"the groups load their snapshots again", "bytes", q.limit)
}

// publishAll publishes until nothing waits.
func (q *publishQueue) publishAll(ctx context.Context) {
	for ctx.Err() == nil {
		some := q.next()
		if some == nil {
			return
		}
		c := q.call(some)
		if q.remote.retry(ctx, "publish to the broker", c.publish) == nil {
			q.published(len(some))
		}
	}
}

// next returns what goes into one call.
func (q *publishQueue) next() (some []queued) {
	q.mu.Lock()
	defer q.mu.Unlock()
	count, bytes := 0, 0
	for _, c := range q.waiting {
		count, bytes = count+len(c.messages), bytes+c.bytes()
		if len(some) > 0 && (count > maxCallMessages || bytes > maxCallBytes || c.overflowed != nil || some[0].overflowed != nil) {
			break
		}
		some = append(some, c)
		q.bytes -= c.bytes()
	}
	clear(q.waiting[:len(some)])
	if q.waiting = q.waiting[len(some):]; len(some) == 0 {
		q.waiting, q.running = nil, false
	}
	if len(q.waiting) == 0 {
		q.overflowed = nil
	}
	return some
}

// call numbers what goes into one call.
func (q *publishQueue) call(some []queued) *publishCall {
	p := &publishCall{remote: q.remote}
	for _, c := range some {
		if c.overflowed != nil {
			c.messages = q.remote.resyncsOf(slices.Sorted(maps.Keys(c.overflowed)), maxOverflowed)
		}
		for messages := range slices.Chunk(c.messages, q.remote.batchMessages()) {
			q.number++ // only this goroutine numbers
			p.batches = append(p.batches, broker.Batch{Source: q.remote.source, Number: q.number, Messages: messages})
		}
	}
	return p
}

func (q *publishQueue) published(count int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.done += uint64(count)
	if q.progress != nil {
		close(q.progress)
		q.progress = nil
	}
}

// flush waits until what has been queued so far is published, or ctx ends.
func (q *publishQueue) flush(ctx context.Context) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for until := q.added; q.done < until; {
		if q.progress == nil {
			q.progress = make(chan struct{})
		}
		progress := q.progress
		q.mu.Unlock()
		err := wait(ctx, progress)
		q.mu.Lock()
		if err != nil {
			return fmt.Errorf("%d batches wait for the broker: %w", until-q.done, err)
		}
	}
	return nil
}
