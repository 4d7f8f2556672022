package upstream

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/tasks"
)

const (
	// maxStreams is the number of streams that one call of the broker names.
	maxStreams = 500

	// followTimeout is the time that a broker has to follow streams at first. It is shorter
	// than that of a group to get its position, since other groups wait for the call.
	followTimeout = 2 * time.Second
)

// follower makes the broker follow the streams that a hub uses. It has one goroutine for
// all streams, while something is to be done, which calls again while the broker does not
// answer.
type follower struct {
	remote *remote

	mu      sync.Mutex // guards what follows
	streams map[string]*followed
	pending []*followed // something is to be done for them, in this order
	running chan struct{}
}

// followed is a stream that a hub uses, or has used.
type followed struct {
	key     string
	users   int
	waiting []opening
	known   bool // the broker follows it
	pending bool
}

// opening waits for the position of a stream.
type opening struct {
	open func(at broker.Position) bool
	gone func() bool
}

func (f *follower) init(r *remote) { f.remote, f.streams = r, make(map[string]*followed) }

// follow calls open with the position of a stream, after which it has a user more, unless
// open returns false. It drops what is gone while the broker does not answer.
func (f *follower) follow(key string, open func(at broker.Position) bool, gone func() bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.streams[key]
	if s == nil {
		s = &followed{key: key}
		f.streams[key] = s
	}
	s.waiting = append(s.waiting, opening{open, gone})
	f.need(s)
}

// again begins a stream again that has users, after the engine has lost it, and calls
// begun with its position.
func (f *follower) again(key string, begun func(at broker.Position)) {
	f.follow(key, func(at broker.Position) bool {
		begun(at)
		return false // no user more
	}, func() bool { return false })
}

// unfollow takes back a user of a stream.
func (f *follower) unfollow(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.streams[key]; s != nil && s.users > 0 {
		f.release(s, 1)
	}
}

// release takes back users. It is called with the lock.
func (f *follower) release(s *followed, users int) {
	if s.users -= users; s.users == 0 {
		f.need(s)
	}
}

// need makes the goroutine look at a stream. It is called with the lock.
func (f *follower) need(s *followed) {
	if !s.pending {
		s.pending = true
		f.pending = append(f.pending, s)
	}
	f.begin()
}

// begin starts the goroutine, unless it runs. It is called with the lock.
func (f *follower) begin() {
	if f.running != nil {
		return
	}
	running := make(chan struct{})
	f.running = running
	f.remote.Tasks.Go(func(ctx context.Context) {
		defer close(running)
		f.run(ctx)
	})
}

func (f *follower) run(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; {
		begin, end, more := f.next()
		if !more {
			return
		}
		err := f.do(ctx, begin, end, min(brokerTimeout, followTimeout<<min(failures, 2)))
		if err == nil {
			failures = 0
			continue
		}
		if failures == 0 && ctx.Err() == nil {
			f.remote.Logger.Error("rohrpost: follow streams of the broker", "error", err)
		}
		if f.rest() {
			return
		}
		tasks.Pause(ctx, tasks.Backoff(failures))
		failures++
	}
}

// rest ends the goroutine while the broker does not answer and no group waits for its
// position: the streams that are left to end can wait for the broker.
func (f *follower) rest() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if slices.ContainsFunc(f.pending, func(s *followed) bool { return len(s.waiting) > 0 }) {
		return false
	}
	f.running = nil
	return true
}

// wake goes on with what was left when the broker did not answer.
func (f *follower) wake() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.pending) > 0 {
		f.begin()
	}
}

// next returns some streams to begin to follow, and some to end. They stay pending until
// that is done.
func (f *follower) next() (begin, end []*followed, more bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pending = slices.DeleteFunc(f.pending, func(s *followed) bool {
		s.waiting = slices.DeleteFunc(s.waiting, func(o opening) bool { return o.gone() })
		switch {
		case len(begin)+len(end) == maxStreams:
		case len(s.waiting) > 0:
			begin = append(begin, s)
		case s.users == 0 && s.known:
			end = append(end, s)
		default:
			f.settle(s)
			return true
		}
		return false
	})
	if len(f.pending) == 0 {
		f.pending, f.running = nil, nil
		return nil, nil, false
	}
	return begin, end, true
}

// settle forgets a stream for which nothing is to be done, if it has no user.
func (f *follower) settle(s *followed) {
	if s.pending = false; s.users == 0 {
		delete(f.streams, s.key)
	}
}

func keysOf(streams []*followed) []string {
	keys := make([]string, len(streams))
	for i, s := range streams {
		keys[i] = s.key
	}
	return keys
}

// do calls the broker, and opens what waits.
func (f *follower) do(ctx context.Context, begin, end []*followed, timeout time.Duration) error {
	if len(begin) > 0 {
		f.mark(begin, true) // perhaps, if the call fails
		keys := keysOf(begin)
		positions, err := ask(ctx, f.remote, timeout, func(ctx context.Context) ([]broker.Position, error) {
			return f.remote.Broker.Follow(ctx, keys)
		})
		if err == nil && len(positions) != len(begin) {
			err = fmt.Errorf("%d positions for %d streams", len(positions), len(begin))
		}
		if err != nil {
			return err
		}
		for i, s := range begin {
			f.open(s, positions[i])
		}
	}
	if len(end) == 0 {
		return nil
	}
	keys := keysOf(end)
	_, err := ask(ctx, f.remote, timeout, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, f.remote.Broker.Unfollow(ctx, keys)
	})
	if err == nil {
		f.mark(end, false)
	}
	return err
}

func (f *follower) mark(streams []*followed, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range streams {
		s.known = known
	}
}

// open hands the position of a stream to those that wait for it.
func (f *follower) open(s *followed, at broker.Position) {
	f.mu.Lock()
	waiting := s.waiting
	s.waiting = nil
	s.users += len(waiting)
	f.mu.Unlock()
	for _, o := range waiting {
		if !o.open(at) {
			f.mu.Lock()
			f.release(s, 1)
			f.mu.Unlock()
		}
	}
}

// flush waits until nothing is to be done, or ctx ends.
func (f *follower) flush(ctx context.Context) error {
	f.mu.Lock()
	running := f.running
	f.mu.Unlock()
	return wait(ctx, running)
}

// wait waits until done is closed, if it is not nil.
func wait(ctx context.Context, done <-chan struct{}) error {
	if done == nil {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
