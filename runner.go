package rohrpost

import (
	"context"
	"errors"
	"time"
)

// maxLater is how many requests of a connection may be answered later at a
// time. Above it the connection waits.
const maxLater = 64

// run is the runner: it handles the messages of the connection one after
// another, and ends when there is none.
func (c *Conn) run() {
	for {
		in, ok := c.inbox.next()
		if !ok {
			return
		}
		if c.ctx.Err() == nil {
			c.serve(in)
		}
		c.inbox.free()
	}
}

func (c *Conn) serve(in inbound) {
	if in.binary {
		c.refuse(envelope{}, errBinary)
		return
	}
	r, err := decodeRequest(in.data)
	if err != nil {
		c.refuse(envelope{id: r.ID}, err)
		return
	}
	handler := c.hub.handler(r.Type)
	if handler == nil {
		err := Errorf("No registered handler called '%s'.", safeName(r.Type))
		c.refuse(envelope{id: r.ID, typ: r.rawType}, err)
		return
	}
	c.handle(handler, r)
}

// refuse replies to what no handler gets to see.
func (c *Conn) refuse(e envelope, err error) {
	e.err = err.Error()
	c.logLost(c.push(e.encode()))
}

// handle calls the handler and sees to it that there is an answer.
func (c *Conn) handle(handler HandlerFunc, r *Request) {
	ctx, cancel := withTimeout(c.ctx, c.hub.config.RequestTimeout)
	var result any
	err := guard(func() (err error) {
		result, err = handler(ctx, c, r)
		return err
	})
	if e, ok := result.(error); ok && err == nil {
		result, err = nil, e
	}
	if !errors.Is(err, Later) {
		cancelled := ctx.Err()
		cancel()
		c.settle(r, result, err, cancelled)
		return
	}
	select {
	case c.later <- struct{}{}:
	case <-r.done:
		cancel()
		return
	case <-ctx.Done():
		cancel()
		c.timeOut(ctx, r)
		return
	}
	c.tasks.Go(func() { c.awaitAnswer(ctx, cancel, r) })
}

// settle makes a reply of what a handler has returned.
func (c *Conn) settle(r *Request, result any, err, cancelled error) {
	if r.answered.Load() {
		if err != nil {
			c.logFailed(r, err)
		}
		return
	}
	if errors.Is(cancelled, context.DeadlineExceeded) && errors.Is(err, context.DeadlineExceeded) {
		err = errTimedOut
	}
	if err == nil {
		if err = c.sendResult(r, result); err == nil {
			return
		}
	}
	c.logLost(c.sendError(r, err, nil))
}

// awaitAnswer waits for the answer to a request that is answered later.
func (c *Conn) awaitAnswer(ctx context.Context, cancel context.CancelFunc, r *Request) {
	select {
	case <-r.done:
	case <-ctx.Done():
		c.timeOut(ctx, r)
	}
	cancel()
	<-c.later
}

func (c *Conn) timeOut(ctx context.Context, r *Request) {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		c.logLost(c.sendError(r, errTimedOut, nil))
	}
}

// logLost logs why a reply of ours was not sent, unless nobody waits for it.
func (c *Conn) logLost(err error) {
	if err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrAnswered) {
		c.hub.log.Error("replying", "user", c.user.ID, "error", err)
	}
}

func (c *Conn) logFailed(r *Request, err error) {
	if c.ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, ErrClosed)) {
		return // the connection has ended, and the handler with it
	}
	c.hub.log.Error("handling a request", "type", safeName(r.Type), "user", c.user.ID, "error", err)
}

// withTimeout is context.WithTimeout for a time that may be none.
func withTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d < 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}
