package rohrpost

import (
	"context"
	"sync"
	"time"
)

// tasks are goroutines that end together.
type tasks struct {
	ctx    context.Context
	cancel context.CancelFunc

	mu    sync.Mutex // guards what follows
	ended bool
	all   sync.WaitGroup
}

func newTasks() *tasks {
	t := &tasks{}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	return t
}

// start runs f, whose context ends with the tasks. After their end it does nothing.
func (t *tasks) start(f func(ctx context.Context)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.ended {
		t.all.Go(func() { f(t.ctx) })
	}
}

// end cancels all and waits for them, or for ctx.
func (t *tasks) end(ctx context.Context) error {
	t.mu.Lock()
	t.ended = true
	t.mu.Unlock()
	t.cancel()
	done := make(chan struct{})
	go func() { t.all.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pause waits, but not after the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
