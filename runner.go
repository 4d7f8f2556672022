package rohrpost

import (
	"context"
	"errors"
	"time"

	"github.com/rohrpost/rohrpost/internal/panics"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// maxLater is how many requests of a connection may be answered later at a
// time. Above it the connection waits.
const maxLater = 64

// maxHold is how long a reply waits for those of other requests that came
// together with its own. It matters only where the next handler takes longer.
const maxHold = time.Millisecond

// run is the runner: it handles the messages of the connection one after
// another, and ends when there is none. Replies to what came together leave
// together.
func (c *Conn) run() {
	deepen(0)
	for batch := c.inbox.take(); len(batch) > 0; batch = c.inbox.take() {
		c.serveAll(batch)
	}
}

// deepen makes the stack of a new goroutine grow now, while there is nothing on
// it. Handlers and workers need more than the 2 KiB that it begins with, and
// moving a stack with a dozen frames costs as much as all else that is done for a
// ping.
//
//go:noinline
func deepen(at uint8) byte {
	var room [3 << 10]byte
	return room[at]
}

func (c *Conn) serveAll(batch []inbound) {
	c.slow.Store(false)
	if len(batch) > 1 {
		timer := time.AfterFunc(maxHold, c.release)
		defer timer.Stop()
	}
	for _, in := range batch {
		if c.ctx.Err() != nil {
			break
		}
		c.serve(in)
		if c.slow.Load() {
			c.worker.add()
		}
	}
	c.worker.help()
}

// release lets replies leave that are held, and those that follow hold no more.
func (c *Conn) release() {
	c.slow.Store(true)
	c.worker.add()
}

func (c *Conn) serve(in inbound) {
	if in.binary {
		c.refuse(wire.Envelope{}, errBinary)
		return
	}
	received, err := wire.DecodeRequest(in.data)
	r := newRequest(received)
	if err != nil {
		c.refuse(wire.Envelope{ID: r.ID}, err)
		return
	}
	handler := c.hub.handler(r.Type)
	if handler == nil {
		err := Errorf("No registered handler called '%s'.", wire.SafeName(r.Type))
		c.refuse(wire.Envelope{ID: r.ID, Type: r.received.Type}, err)
		return
	}
	c.handle(handler, r)
}

// refuse replies to what no handler gets to see.
func (c *Conn) refuse(e wire.Envelope, err error) {
	e.Error = err.Error()
	c.respond(c.frame(e))
}

// respond sends the reply to a request, if there is one, with the next ones.
func (c *Conn) respond(f wire.Frame, err error) {
	if err == nil {
		err = c.holdFrame(f)
	}
	c.logLost(err)
}

// handle calls the handler and sees to it that there is an answer.
func (c *Conn) handle(handler HandlerFunc, r *Request) {
	ctx := newRequestContext(c.ctx, c.hub.config.RequestTimeout)
	var result any
	err := panics.Guard(func() (err error) {
		result, err = handler(ctx, c, r)
		return err
	})
	if e, ok := result.(error); ok && err == nil {
		result, err = nil, e
	}
	if !errors.Is(err, Later) {
		late := errors.Is(err, context.DeadlineExceeded) && errors.Is(ctx.Err(), context.DeadlineExceeded)
		ctx.end()
		c.settle(r, result, err, late)
		return
	}
	c.worker.add() // it may take long to find a place, and replies are held
	if c.later == nil {
		c.later = make(chan struct{}, maxLater)
	}
	select {
	case c.later <- struct{}{}:
	case <-r.replied():
		ctx.end()
		return
	case <-ctx.Done():
		c.timeOut(ctx, r)
		ctx.end()
		return
	}
	c.tasks.Go(func() { c.awaitAnswer(ctx, r) })
}

// settle makes a reply of what a handler has returned.
func (c *Conn) settle(r *Request, result any, err error, late bool) {
	if r.isAnswered() {
		if err != nil {
			c.logFailed(r, err)
		}
		return
	}
	if late {
		err = errTimedOut
	}
	var f wire.Frame
	if err == nil {
		f, err = c.resultFrame(r, result)
	}
	if err != nil {
		f, err = c.errorFrame(r, err, nil)
	}
	c.respond(f, err)
}

// awaitAnswer waits for the answer to a request that is answered later.
func (c *Conn) awaitAnswer(ctx *requestContext, r *Request) {
	select {
	case <-r.replied():
	case <-ctx.Done():
		c.timeOut(ctx, r)
	}
	ctx.end()
	<-c.later
}

func (c *Conn) timeOut(ctx context.Context, r *Request) {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		f, err := c.errorFrame(r, errTimedOut, nil)
		if err == nil {
			err = c.pushFrame(f)
		}
		c.logLost(err)
	}
}

// logLost logs why a reply of ours was not sent, unless nobody waits for it.
func (c *Conn) logLost(err error) {
	if err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrAnswered) {
		c.hub.log.Error("replying", "user", c.user.ID, "error", err)
	}
}

func (c *Conn) logFailed(r *Request, err error) {
	if c.ending.Load() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, ErrClosed)) {
		return // the connection is at its end, and the handler with it
	}
	c.hub.log.Error("handling a request", "type", wire.SafeName(r.Type), "user", c.user.ID, "error", err)
}

// withTimeout is context.WithTimeout for a time that may be none.
func withTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d < 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}
