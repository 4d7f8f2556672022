// Package tasks owns goroutines that end together.
package tasks

import (
	"context"
	"sync"
	"time"
)

// Group is a set of goroutines with one end. Make one with New. Its methods may
// be called concurrently.
type Group struct {
	ctx    context.Context
	cancel context.CancelFunc

	mu    sync.Mutex // guards what follows
	ended bool
	all   sync.WaitGroup
}

// New returns an empty Group. It starts nothing.
func New() *Group {
	g := &Group{}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	return g
}

// Go runs f in a goroutine. The context of f ends with the Group. After End, Go
// does nothing.
func (g *Group) Go(f func(ctx context.Context)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.ended {
		g.all.Go(func() { f(g.ctx) })
	}
}

// Cancel ends the contexts of all goroutines. It does not wait.
func (g *Group) Cancel() { g.cancel() }

// End cancels all goroutines and waits for them. It returns the error of ctx if
// that ends first.
func (g *Group) End(ctx context.Context) error {
	g.mu.Lock()
	g.ended = true
	g.mu.Unlock()
	g.cancel()
	done := make(chan struct{})
	go func() { g.all.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Pause waits for d, or until ctx ends.
func Pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// Backoff returns the pause before the next attempt after so many failures: 20 ms,
// doubled with each failure, 1 s at most.
func Backoff(failures int) time.Duration {
	const shortest, longest = 20 * time.Millisecond, time.Second
	return min(shortest<<min(failures, 10), longest)
}
