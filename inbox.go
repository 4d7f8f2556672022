package rohrpost

import (
	"context"
	"sync"
)

// maxInbox is how many messages of a connection wait to be handled.
const maxInbox = 16

// inbound is one message as it came.
type inbound struct {
	data   []byte
	binary bool
}

// inbox is what a connection has asked for and no handler has seen yet. Its
// runner exists only while there is something in it.
type inbox struct {
	places chan struct{} // one for each message that waits or is handled

	mu      sync.Mutex
	waiting []inbound
	running bool
}

func newInbox() inbox { return inbox{places: make(chan struct{}, maxInbox)} }

// reserve waits for a place. It fails when ctx ends first.
func (b *inbox) reserve(ctx context.Context) bool {
	select {
	case b.places <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// put adds a message, for which a place must be reserved, and reports whether
// the caller has to start the runner.
func (b *inbox) put(in inbound) (start bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = append(b.waiting, in)
	start = !b.running
	b.running = true
	return start
}

// next removes the oldest message. If there is none, the runner must end.
func (b *inbox) next() (inbound, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) == 0 {
		b.waiting, b.running = nil, false
		return inbound{}, false
	}
	in := b.waiting[0]
	b.waiting[0] = inbound{}
	b.waiting = b.waiting[1:]
	return in, true
}

// free gives the place of a message back.
func (b *inbox) free() { <-b.places }
