package rohrpost

import "sync"

// The inbox holds maxInbox messages, of maxInboxBytes together. As many again may be
// under way.
const (
	maxInbox      = 64
	maxInboxBytes = 64 << 10
)

// inbound is one message as it came.
type inbound struct {
	data   []byte
	binary bool
}

// inbox holds the messages that no handler has seen yet. A goroutine dispatches them
// that exists only while there are some.
type inbox struct {
	mu          sync.Mutex // guards what follows
	waiting     []inbound
	bytes       int           // of waiting
	room        chan struct{} // closed when the messages are taken; nil while there is room
	dispatching bool
	ended       chan struct{} // closed when nothing waits or is dispatched; nil: nothing asks for that
}

// put adds a message. Unless it returns nil, the caller makes sure that the messages
// are dispatched, and waits until room is closed.
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

// claimDispatch reports whether the caller must start the goroutine.
func (b *inbox) claimDispatch() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	idle := !b.dispatching
	b.dispatching = true
	return idle
}

// takeAll removes all messages. If there is none, the goroutine must end.
func (b *inbox) takeAll() []inbound {
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := b.waiting
	b.waiting, b.bytes = nil, 0
	b.dispatching = len(taken) > 0
	if !b.dispatching && b.ended != nil {
		close(b.ended)
		b.ended = nil
	}
	if b.room != nil {
		close(b.room)
		b.room = nil
	}
	return taken
}

// idle returns a channel that is closed when all messages are handled.
func (b *inbox) idle() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	ended := make(chan struct{})
	if b.dispatching {
		b.ended = ended
	} else {
		close(ended)
	}
	return ended
}

// size returns the bytes of the messages that wait.
func (b *inbox) size() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes
}
