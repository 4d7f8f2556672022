package rohrpost

import (
	"errors"
	"fmt"

	"github.com/rohrpost/rohrpost/internal/panics"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// Reply is returned by a handler that answers with another type than that of the
// request, as ping does with "pong".
type Reply struct {
	Type string // Defaults to the type of the request.
	Data any    // Defaults to no data.
}

// SendSuccess answers r with data; nil is a reply without data. A request is
// answered once: after that SendSuccess returns ErrAnswered. If data cannot be
// encoded, SendSuccess returns an error and r is not answered yet.
func (c *Conn) SendSuccess(r *Request, data any) error {
	f, err := c.resultFrame(r, data)
	if err == nil {
		err = c.pushFrame(f)
	}
	if err != nil {
		return fmt.Errorf("rohrpost: send success: %w", err)
	}
	return nil
}

// SendError answers r with an error and, unless data is nil, with data beside it.
// The client reads an *Error. The hub logs any other error, and the client
// reads "internal error". A request is answered once: after that SendError
// returns ErrAnswered. If data cannot be encoded, r is not answered yet.
func (c *Conn) SendError(r *Request, err error, data any) error {
	if err == nil {
		return errors.New("rohrpost: send error: no error given")
	}
	f, err := c.errorFrame(r, err, data)
	if err == nil {
		err = c.pushFrame(f)
	}
	if err != nil {
		return fmt.Errorf("rohrpost: send error: %w", err)
	}
	return nil
}

// resultFrame answers r with the result of a handler.
func (c *Conn) resultFrame(r *Request, result any) (wire.Frame, error) {
	e := wire.Envelope{}
	if reply, ok := result.(*Reply); ok && reply != nil {
		result = *reply
	}
	if reply, ok := result.(Reply); ok {
		result = reply.Data
		if reply.Type != "" {
			e.Type = wire.EncodeString(reply.Type)
		}
	}
	return c.reply(r, e, result)
}

func (c *Conn) errorFrame(r *Request, err error, data any) (wire.Frame, error) {
	return c.reply(r, c.refusal(r, err), data)
}

// refusal returns the part of a reply that tells the client of an error. It logs an error
// that was not made for the client.
func (c *Conn) refusal(r *Request, err error) (e wire.Envelope) {
	err = panics.Seal(err)
	refusal, ok := readable(err)
	if r != nil && !ok {
		c.logFailed(r, err)
	}
	refusal.put(&e)
	return e
}

// reply makes the one reply to r. The caller must send it.
func (c *Conn) reply(r *Request, e wire.Envelope, data any) (f wire.Frame, err error) {
	if r == nil || len(r.ID) == 0 || r.Type == "" && r.rawType == nil {
		return nil, errNoRequest
	}
	if r.isAnswered() {
		return nil, ErrAnswered
	}
	if f, err = c.followUp(r, e, data); err != nil {
		return nil, err
	}
	if !r.claim() {
		return nil, ErrAnswered
	}
	return f, nil
}

// followUp makes a frame like a reply to r, which has its reply.
func (c *Conn) followUp(r *Request, e wire.Envelope, data any) (f wire.Frame, err error) {
	if e.Data, err = wire.EncodeOptional(data); err != nil {
		return nil, err
	}
	if e.ID, err = r.replyID(); err != nil {
		return nil, fmt.Errorf("id of request: %w", err)
	}
	if e.Type == nil {
		e.Type = r.replyType()
	}
	return c.frame(e)
}

// frame frames a message unless it is too large for the send queue. It counts refusals.
func (c *Conn) frame(e wire.Envelope) (wire.Frame, error) {
	f := e.Frame()
	if err := c.hub.config.Limits.checkFrame(len(f)); err != nil {
		return nil, fmt.Errorf("reply: %w", err)
	}
	if e.ErrorInfo != nil {
		c.hub.counters.refused.add(e.ErrorInfo.Code)
	}
	return f, nil
}
