package rohrpost

import (
	"errors"
	"fmt"

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
		return fmt.Errorf("send success: %w", err)
	}
	return nil
}

// SendError answers r with an error and, unless data is nil, with data beside it.
// The client reads the text of an *Error. The hub logs any other error, and the
// client reads "internal error". A request is answered once: after that SendError
// returns ErrAnswered. If data cannot be encoded, r is not answered yet.
func (c *Conn) SendError(r *Request, err error, data any) error {
	if err == nil {
		return errors.New("send error: no error given")
	}
	f, err := c.errorFrame(r, err, data)
	if err == nil {
		err = c.pushFrame(f)
	}
	if err != nil {
		return fmt.Errorf("send error: %w", err)
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
	text, ok := readable(err)
	if r != nil && !ok {
		c.logFailed(r, err)
	}
	return c.reply(r, wire.Envelope{Error: text}, data)
}

// reply makes the one reply to r. The caller must send it.
func (c *Conn) reply(r *Request, e wire.Envelope, data any) (f wire.Frame, err error) {
	if r == nil || len(r.ID) == 0 || r.Type == "" && r.rawType == nil {
		return nil, errNoRequest
	}
	if r.isAnswered() {
		return nil, ErrAnswered
	}
	if e.Data, err = wire.EncodeOptional(data); err != nil {
		return nil, err
	}
	if e.ID, err = r.replyID(); err != nil {
		return nil, fmt.Errorf("id of request: %w", err)
	}
	if e.Type == nil {
		e.Type = r.replyType()
	}
	if f, err = c.frame(e); err != nil {
		return nil, err
	}
	if !r.claim() {
		return nil, ErrAnswered
	}
	return f, nil
}

// frame frames a message unless it is too large for the send queue.
func (c *Conn) frame(e wire.Envelope) (wire.Frame, error) {
	f := e.Frame()
	if err := c.hub.config.Limits.checkFrame(len(f)); err != nil {
		return nil, fmt.Errorf("reply: %w", err)
	}
	return f, nil
}
