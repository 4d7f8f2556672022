// Package snapshots runs the functions that read snapshots: a bounded number at a time,
// and for all that ask for one snapshot at the same time once. It also encodes what they
// return.
package snapshots

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/panics"
	"github.com/rohrpost/rohrpost/internal/tasks"
)

// ErrBusy is returned where no place was free in time.
var ErrBusy = errors.New("too many snapshots are being read")

// A crowd has shared a call: more will come, since the clients of a group that was sent
// a resync ask within two seconds. The next call begins after a pause of so many times
// the duration of the call, for the others to share it.
const (
	crowd         = 16
	pausePerCall  = 10
	maxPause      = 500 * time.Millisecond
	pausesTimeout = 4 // pauses that fit into the timeout
)

// Config configures Calls. All fields are required.
type Config struct {
	Go      func(task func(ctx context.Context)) // runs a task that ends with the hub
	Max     int                                  // functions that run at a time; negative: any
	Timeout time.Duration                        // of a function, and of the wait for a place; negative: none
}

// Calls runs functions that read snapshots. Its methods may be called concurrently. Make
// one with New.
type Calls struct {
	config Config
	places chan struct{} // nil: any number

	mu   sync.Mutex // guards what follows
	keys map[Key]*turns
}

// Key identifies a snapshot.
type Key struct {
	Group string
	View  string // "": everything in the group
}

// Read reads a snapshot.
type Read = func(ctx context.Context) (*Encoded, error)

// turns are the calls for one key.
type turns struct {
	running *call // nil: the pause after a crowd
	next    *call // begins when running or the pause has ended; nil: nothing waits for it
}

// call is one call of a function, which several share.
type call struct {
	read     Read
	position broker.Position // of the group, before the call
	done     chan struct{}   // closed when the result is there
	result   *Encoded
	err      error

	// The following are guarded by Calls.
	sharers int
	joined  int                // all that have shared it
	began   time.Time          // when the function was called; zero: not yet
	cancel  context.CancelFunc // nil: the task has yet to begin
	ended   bool               // all sharers have gone
}

// New returns Calls. It starts nothing.
func New(c Config) *Calls {
	calls := &Calls{config: c, keys: make(map[Key]*turns)}
	if c.Max >= 0 {
		calls.places = make(chan struct{}, c.Max)
	}
	return calls
}

// Run calls read when there is a place for it. It returns ErrBusy if there is none in
// time.
func (c *Calls) Run(ctx context.Context, read Read) (*Encoded, error) {
	return c.call(ctx, read, func() {})
}

// Share is Run for a snapshot that others may ask for at the same time. There is one call
// for a key at a time. The caller has taken the position at, and knows what comes after
// it. If a call is running, and reach reports that the caller knows also what has come
// after the position of that call, Share waits for it and returns its position. Else it
// waits for the next call. The context of read ends when all that share the call have
// gone, and with the timeout.
func (c *Calls) Share(ctx context.Context, key Key, at broker.Position, reach func(from broker.Position) bool, read Read) (*Encoded, broker.Position, error) {
	shared, isRunning := c.join(key, reach, &call{read: read, position: at, done: make(chan struct{})})
	if isRunning {
		at = shared.position
	}
	select {
	case <-shared.done:
		return shared.result, at, shared.err
	case <-ctx.Done():
	}
	if began := c.leave(key, shared); !began && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, at, ErrBusy
	}
	return nil, at, ctx.Err()
}

// join returns the call that is running, if the caller can share it, else one that begins
// later. Those that find none running at the same time share one.
func (c *Calls) join(key Key, reach func(from broker.Position) bool, mine *call) (shared *call, isRunning bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.keys[key]
	if t == nil || t.running == nil || t.running.ended {
		return c.enter(key, mine), false
	}
	running := t.running
	running.sharers++ // it must not end while reach reads
	running.joined++
	c.mu.Unlock()
	ok := reach(running.position)
	if !ok {
		c.leave(key, running)
	}
	c.mu.Lock()
	if ok {
		return running, true
	}
	return c.enter(key, mine), false
}

// enter returns a call that begins later. It is called with the lock.
func (c *Calls) enter(key Key, mine *call) (shared *call) {
	t := c.keys[key]
	switch {
	case t == nil:
		c.keys[key] = &turns{running: mine}
		c.begin(key, mine)
		shared = mine
	case t.next == nil:
		t.next = mine
		shared = mine
	default:
		shared = t.next
	}
	shared.sharers++
	shared.joined++
	return shared
}

// leave ends a call that nobody waits for any more. It reports whether the function has
// been called.
func (c *Calls) leave(key Key, l *call) (began bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.sharers--; l.sharers > 0 {
		return !l.began.IsZero()
	}
	l.ended = true
	if t := c.keys[key]; t != nil && t.next == l {
		t.next = nil
	}
	if l.cancel != nil {
		l.cancel()
	}
	return !l.began.IsZero()
}

// begin starts a call. It is called with the lock.
func (c *Calls) begin(key Key, l *call) {
	c.config.Go(func(ctx context.Context) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		c.mu.Lock()
		if l.cancel = cancel; l.ended {
			cancel()
		}
		c.mu.Unlock()
		l.err = panics.ErrExited
		defer c.end(key, l) // also if read ends the goroutine
		l.result, l.err = c.call(ctx, l.read, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			l.began = time.Now()
		})
	})
}

// call waits for a place, tells begin, and calls read.
func (c *Calls) call(ctx context.Context, read Read, begin func()) (*Encoded, error) {
	waiting, cancel := c.limited(ctx)
	release, err := c.acquire(waiting)
	cancel()
	if err != nil {
		return nil, err
	}
	defer release()
	begin()
	ctx, cancel = c.limited(ctx)
	defer cancel()
	return read(ctx)
}

// end hands out the result of a call. The next one begins at once, or after a pause.
func (c *Calls) end(key Key, l *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(l.done)
	if l.joined < crowd || l.began.IsZero() {
		c.next(key)
		return
	}
	c.keys[key].running = nil
	pause := min(pausePerCall*time.Since(l.began), maxPause)
	if c.config.Timeout >= 0 {
		pause = min(pause, c.config.Timeout/pausesTimeout)
	}
	c.config.Go(func(ctx context.Context) {
		tasks.Pause(ctx, pause)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.next(key)
	})
}

// next begins the next call for a key. It is called with the lock.
func (c *Calls) next(key Key) {
	t := c.keys[key]
	if t.running, t.next = t.next, nil; t.running == nil {
		delete(c.keys, key)
		return
	}
	c.begin(key, t.running)
}

// acquire takes a place.
func (c *Calls) acquire(ctx context.Context) (release func(), err error) {
	if c.places == nil {
		return func() {}, nil
	}
	select {
	case c.places <- struct{}{}:
		return func() { <-c.places }, nil
	case <-ctx.Done():
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, ErrBusy
	}
	return nil, ctx.Err()
}

func (c *Calls) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.config.Timeout < 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, c.config.Timeout)
}
