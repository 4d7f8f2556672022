package rohrpost

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/rohrpost/rohrpost/internal/budget"
	"github.com/rohrpost/rohrpost/internal/excess"
	"github.com/rohrpost/rohrpost/internal/fanout"
	"github.com/rohrpost/rohrpost/internal/lazyctx"
	"github.com/rohrpost/rohrpost/internal/panics"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// maxLater is the number of requests of a connection that may be answered later at a
// time. Above it the next requests wait.
const maxLater = 64

// maxBeside is the number of subscribe requests of a connection whose snapshot is read or
// sent at a time. Above it the next requests wait.
const maxBeside = 16

// maxHold is the time that a reply waits for those of other requests that came
// together with its own. It matters only where the next handler takes longer.
const maxHold = time.Millisecond

// dispatch handles the messages of the connection one after another, and ends when
// there is none. Replies to what came together leave together. If a handler ends the
// goroutine, with runtime.Goexit, another one goes on.
func (c *Conn) dispatch() {
	exited := true
	defer func() {
		if exited {
			c.member.Wake()
			c.tasks.Go(c.dispatch)
		}
	}()
	fanout.GrowStack(0)
	for len(c.batch) > 0 || c.takeBatch() {
		c.handleAll()
	}
	exited = false
}

// takeBatch takes what has come. If that is nothing, the next dispatch may run already.
func (c *Conn) takeBatch() bool {
	batch := c.inbox.takeAll()
	if len(batch) > 0 {
		c.batch = batch
	}
	return len(batch) > 0
}

// handleAll handles the batch, as long as the connection is open.
func (c *Conn) handleAll() {
	c.slow.Store(false)
	c.hub.decoders.Take()
	defer c.hub.decoders.Leave()
	if len(c.batch) > 1 {
		timer := time.AfterFunc(maxHold, c.sendHeld)
		defer timer.Stop()
	}
	for len(c.batch) > 0 && c.ctx.Err() == nil {
		in := c.batch[0]
		c.batch[0] = inbound{}
		c.batch = c.batch[1:]
		c.handleMessage(in)
		if c.slow.Load() {
			c.member.Wake()
		}
	}
	c.batch = nil
	c.member.Work()
}

// sendHeld sends the replies that are held. Those that follow are not held.
func (c *Conn) sendHeld() {
	c.slow.Store(true)
	c.member.Wake()
}

func (c *Conn) handleMessage(in inbound) {
	if in.binary {
		c.refuseMalformed(nil, errBinary)
		return
	}
	received, err := wire.DecodeRequest(in.data, c.hub.config.Limits.MaxDepth)
	if err != nil {
		c.refuseMalformed(received.ID, codedError(wire.CodeMalformed, "%w", err))
		return
	}
	handler := c.hub.handler(received.Name)
	if !handler.isDefined() {
		err := codedError(wire.CodeUnknownHandler, "No registered handler called '%s'.", wire.SafeName(received.Name))
		c.refuse(wire.Envelope{ID: received.ID, Type: received.Type}, err)
		return
	}
	r := newRequest(received, in.data)
	token := r.Field(tokenField)
	if !handler.quick || token != nil {
		c.hub.decoders.Leave() // a program may take long, also with its errors and results
		defer c.hub.decoders.Take()
	}
	if token != nil {
		err = c.takeToken(c.ctx, token)
	}
	if err == nil && !handler.public && c.user() == "" && c.hub.config.authenticated {
		err = errIdentityRequired
	}
	switch {
	case err == nil:
		c.handle(handler, r)
	case !errors.Is(err, ErrClosed):
		c.refuse(wire.Envelope{ID: received.ID, Type: received.Type}, err)
	}
}

// refuseMalformed replies to a message that is no valid request, and closes the connection
// of a client that sends too many. One is forgotten each minute.
func (c *Conn) refuseMalformed(id json.RawMessage, err error) {
	const forgotten = 60 // seconds
	c.refuse(wire.Envelope{ID: id}, err)
	most := budget.Rate{PerSecond: 1, Burst: forgotten * c.hub.config.Limits.MaxProtocolErrors}
	if c.malformed.Take(c.hub.now(), forgotten, most) > 0 {
		_ = c.cut(excess.ProtocolErrors)
	}
}

// countRefusal closes the connection of a client that asks for too many groups that it is
// refused.
func (c *Conn) countRefusal(group string) {
	c.refusals.Lock()
	exceeded := c.denied.Take(c.hub.now(), group, budget.Rate(c.hub.config.Limits.RefusedGroups))
	c.refusals.Unlock()
	if exceeded {
		_ = c.cut(excess.RefusedGroups)
	}
}

// refuse replies to a message that reaches no handler.
func (c *Conn) refuse(e wire.Envelope, err error) {
	refusal := c.refusal(nil, err)
	e.Error, e.ErrorInfo = refusal.Error, refusal.ErrorInfo
	c.respond(c.frame(e))
}

// respond sends the reply to a request, if there is one, together with the next ones.
func (c *Conn) respond(f wire.Frame, err error) {
	if err == nil {
		err = outward(c.member.Queue(f))
	}
	c.logLost(err)
}

// handle calls a handler and makes sure that the request is answered.
func (c *Conn) handle(handler registered, r *Request) {
	ctx := lazyctx.New(c.ctx, c.hub.config.Limits.RequestTimeout)
	exited := true
	defer func() {
		if exited {
			ctx.End()
			c.answer(r, nil, panics.ErrExited, false)
		}
	}()
	c.handleWith(ctx, handler, r)
	exited = false
}

// call calls a handler.
func (c *Conn) call(ctx *lazyctx.Context, handler registered, r *Request) (result any, err error) {
	call := func() (err error) {
		result, err = handler.call(ctx, c, r)
		return err
	}
	if handler.quick || handler.own != nil {
		err = panics.Call(call)
	} else {
		err = c.run(ctx, call)
	}
	return result, err
}

func (c *Conn) handleWith(ctx *lazyctx.Context, handler registered, r *Request) {
	result, err := c.call(ctx, handler, r)
	if e, ok := result.(error); ok && err == nil {
		result, err = nil, panics.Seal(e)
	}
	if err == errBeside { // errors.Is would ask the error of a program
		ctx.End()
		return
	}
	if !errors.Is(err, Later) {
		timedOut := errors.Is(err, context.DeadlineExceeded) && errors.Is(ctx.Err(), context.DeadlineExceeded)
		ctx.End()
		c.answer(r, result, err, timedOut)
		return
	}
	c.member.Wake() // it may take long to find a place, and replies are held
	if c.later == nil {
		c.later = make(chan struct{}, maxLater)
	}
	select {
	case c.later <- struct{}{}:
	case <-r.replied():
		ctx.End()
		return
	case <-ctx.Done():
		c.timeOut(ctx, r)
		ctx.End()
		return
	}
	c.tasks.Go(func() { c.awaitAnswer(ctx, r) })
}

// errBeside is returned by a handler of the hub that answers the request beside the queue,
// with answerBeside.
var errBeside = errors.New("the request is answered beside the queue")

// takeBeside takes a place for answerBeside. It waits until there is one.
func (c *Conn) takeBeside(ctx context.Context) error {
	if c.beside == nil {
		c.beside = make(chan struct{}, maxBeside)
	}
	select {
	case c.beside <- struct{}{}:
		return nil
	default:
	}
	c.member.Wake() // it may take long, and replies are held
	select {
	case c.beside <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// answerBeside runs work in the place that takeBeside has taken. work answers r, or
// returns the error for its client, also after a part of the answer.
func (c *Conn) answerBeside(r *Request, work func() error) {
	c.tasks.Go(func() {
		defer func() { <-c.beside }()
		err := panics.ErrExited
		defer func() { c.endBeside(r, err) }()
		err = panics.Call(work)
	})
}

// endBeside tells the client of an error.
func (c *Conn) endBeside(r *Request, err error) {
	if err == nil {
		return
	}
	r.claim()
	f, err := c.followUp(r, c.refusal(r, err), nil)
	if err == nil {
		err = c.pushFrame(f)
	}
	c.logLost(err)
}

// answer sends what a handler has returned, unless the handler has answered itself.
func (c *Conn) answer(r *Request, result any, err error, timedOut bool) {
	if r.isAnswered() {
		if err != nil {
			c.logFailed(r, err)
		}
		return
	}
	if timedOut {
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
func (c *Conn) awaitAnswer(ctx *lazyctx.Context, r *Request) {
	select {
	case <-r.replied():
	case <-ctx.Done():
		c.timeOut(ctx, r)
	}
	ctx.End()
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

// logLost logs why a reply was not sent, unless the connection is closed.
func (c *Conn) logLost(err error) {
	if err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrAnswered) {
		c.hub.log.Error("rohrpost: reply to a request", "user", c.user(), "error", err)
	}
}

func (c *Conn) logFailed(r *Request, err error) {
	if c.member.Ended() && (errors.Is(err, context.Canceled) || errors.Is(err, ErrClosed)) {
		return // the handler has ended with the connection
	}
	c.hub.log.Error("rohrpost: handle a request", "type", wire.SafeName(r.Type), "user", c.user(), "error", err)
}
