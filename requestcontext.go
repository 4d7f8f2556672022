package rohrpost

import (
	"context"
	"sync"
	"time"
)

// requestContext is the context of one handler, or of one function of Allow. It is what
// context.WithTimeout returns, but makes the costly part only when its user waits for it
// or asks it for a value. Most do neither.
type requestContext struct {
	parent   context.Context // ends with the connection, at the latest
	deadline time.Time       // zero: none

	mu     sync.Mutex         // guards what follows
	full   context.Context    // does all but Err; nil: not needed yet
	cancel context.CancelFunc // of full
	err    error              // what Err has returned, or does after end
}

func newRequestContext(parent context.Context, timeout time.Duration) *requestContext {
	var at time.Time
	if timeout >= 0 {
		at = time.Now().Add(timeout)
	}
	if sooner, ok := parent.Deadline(); ok && (at.IsZero() || sooner.Before(at)) {
		at = sooner
	}
	return &requestContext{parent: parent, deadline: at}
}

// Deadline implements context.Context.
func (c *requestContext) Deadline() (time.Time, bool) { return c.deadline, !c.deadline.IsZero() }

// Done implements context.Context.
func (c *requestContext) Done() <-chan struct{} { return c.complete().Done() }

// Value implements context.Context. Package context asks by it for the parts of a
// context.
func (c *requestContext) Value(key any) any { return c.complete().Value(key) }

// Err implements context.Context.
func (c *requestContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
	case c.full != nil:
		c.err = c.full.Err()
	case c.parent.Err() != nil:
		c.err = c.parent.Err()
	case !c.deadline.IsZero() && !time.Now().Before(c.deadline):
		c.err = context.DeadlineExceeded
	}
	return c.err
}

// end is called when the handler has returned.
func (c *requestContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.full != nil {
		c.cancel()
	} else if c.err == nil {
		c.err = context.Canceled
	}
}

func (c *requestContext) complete() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.full != nil {
		return c.full
	}
	if c.deadline.IsZero() {
		c.full, c.cancel = context.WithCancel(c.parent)
	} else {
		c.full, c.cancel = context.WithDeadline(c.parent, c.deadline)
	}
	if c.err != nil { // it has ended already
		c.cancel()
	}
	return c.full
}
