package rohrpost

import "sync"

// What waits to be handled is bounded: maxInbox messages, of maxInboxBytes
// together, and as many again that are being handled.
const (
	maxInbox      = 64
	maxInboxBytes = 64 << 10
)

// inbound is one message as it came.
type inbound struct {
	data   []byte
	binary bool
}

// inbox is what a connection has asked for and no handler has seen yet. Its
// runner exists only while there is something in it.
type inbox struct {
	mu      sync.Mutex // guards what follows
	waiting []inbound
	bytes   int           // of them
	room    chan struct{} // closed when the runner takes them; nil while there is room
	running bool
}

// put adds a message. Unless it returns nil, the next one has to wait until room
// is closed; somebody must see to it that the runner exists.
func (b *inbox) put(in inbound) (room <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = append(b.waiting, in)
	b.bytes += len(in.data)
	if len(b.waiting) < maxInbox && b.bytes < maxInboxBytes {
		return nil
	}
	b.room = make(chan struct{})
	return b.room
}

// begin reports whether the caller has to start the runner.
func (b *inbox) begin() (start bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	start = !b.running
	b.running = true
	return start
}

// take removes all that waits. If there is none, the runner must end.
func (b *inbox) take() []inbound {
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := b.waiting
	b.waiting, b.bytes = nil, 0
	b.running = len(taken) > 0
	if b.room != nil {
		close(b.room)
		b.room = nil
	}
	return taken
}
