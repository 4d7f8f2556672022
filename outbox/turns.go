package outbox

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// yield is how long the program waits for a relay that waits for its turn.
	yield = 20 * time.Millisecond

	// patience is how long a relay asks the program to wait, and then how long it lets it
	// go on.
	patience = 50 * time.Millisecond

	// connTimeout is the time in which a relay must get a connection in its turn.
	connTimeout = 100 * time.Millisecond
)

// turns let the program and the relay of a process write in turn to a database that has
// one writer at a time: the program's writes never find it locked by the relay. Neither
// waits for the other without end, since who waits may hold what the other needs.
type turns struct {
	mu      sync.Mutex // guards the fields below
	program int        // the turns of the program: it may write
	relay   bool       // the relay has its turn
	wanted  bool       // the relay waits for its turn
	changed chan struct{}
}

// change wakes all who wait. It is called with the lock.
func (t *turns) change() {
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
}

// waitFor returns when done holds, which it calls with the lock, or returns false when ctx
// ends first.
func (t *turns) waitFor(ctx context.Context, done func() bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for !done() {
		if t.changed == nil {
			t.changed = make(chan struct{})
		}
		changed := t.changed
		t.mu.Unlock()
		select {
		case <-changed:
			t.mu.Lock()
		case <-ctx.Done():
			t.mu.Lock()
			return done()
		}
	}
	return true
}

// begin begins a turn of the program, and returns its end. It waits while the relay has its
// turn, and for a moment if the relay waits for one.
func (t *turns) begin(ctx context.Context) (end func()) {
	take := func(free bool) bool {
		if free {
			t.program++
		}
		return free
	}
	yielding, cancel := context.WithTimeout(ctx, yield)
	defer cancel()
	if !t.waitFor(yielding, func() bool { return take(!t.relay && !t.wanted) }) {
		t.waitFor(ctx, func() bool { return take(!t.relay || ctx.Err() != nil) })
	}
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.program--
		t.change()
	}
}

var errTurn = errors.New("the program's transactions leave the relay no turn")

// take calls f in a turn of the relay. f gets a context in which it must get its connection.
func (t *turns) take(ctx context.Context, f func(connecting context.Context) error) error {
	for !t.try(ctx) {
		select {
		case <-time.After(patience):
		case <-ctx.Done():
			return errors.Join(errTurn, ctx.Err())
		}
	}
	defer t.set(&t.relay, false)
	connecting, cancel := context.WithTimeout(ctx, connTimeout)
	defer cancel()
	return f(connecting)
}

// try waits for a turn of the relay, but not long.
func (t *turns) try(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	t.set(&t.wanted, true)
	defer t.set(&t.wanted, false)
	return t.waitFor(ctx, func() bool {
		free := t.program == 0 && !t.relay
		t.relay = t.relay || free
		return free
	})
}

func (t *turns) set(flag *bool, value bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	*flag = value
	t.change()
}
