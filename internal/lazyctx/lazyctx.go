// Package lazyctx has a context that costs little until somebody waits for it.
package lazyctx

import (
	"context"
	"sync"
	"time"
)

// Context is the context of one handler, or of one function of Allow. It is what
// context.WithTimeout returns, but makes the costly part only when its user waits for it
// or asks it for a value. Most do neither.
type Context struct {
	parent   context.Context
	deadline time.Time // zero: none

	mu     sync.Mutex         // guards what follows
	full   context.Context    // does all but Err; nil: not needed yet
	cancel context.CancelFunc // of full
	err    error              // what Err has returned, or does after End
}

// New returns a context that ends with its parent, and after the timeout. A negative one is
// none.
func New(parent context.Context, timeout time.Duration) *Context {
	var at time.Time
	if timeout >= 0 {
		at = time.Now().Add(timeout)
	}
	if sooner, ok := parent.Deadline(); ok && (at.IsZero() || sooner.Before(at)) {
		at = sooner
	}
	return &Context{parent: parent, deadline: at}
}

// Deadline implements context.Context.
func (c *Context) Deadline() (time.Time, bool) { return c.deadline, !c.deadline.IsZero() }

// Done implements context.Context.
func (c *Context) Done() <-chan struct{} { return c.complete().Done() }

// Value implements context.Context. Package context asks by it for the parts of a
// context.
func (c *Context) Value(key any) any { return c.complete().Value(key) }

// Err implements context.Context.
func (c *Context) Err() error {
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

// End ends the context, as context.CancelFunc does.
func (c *Context) End() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.full != nil {
		c.cancel()
	} else if c.err == nil {
		c.err = context.Canceled
	}
}

func (c *Context) complete() context.Context {
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
