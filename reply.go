package rohrpost

import (
	"errors"
	"fmt"
)

// SendSuccess answers r with data; nil is a reply without data. A request is
// answered once: after that it returns ErrAnswered. If data cannot be encoded,
// r is not answered yet.
func (c *Conn) SendSuccess(r *Request, data any) error {
	if err := c.sendResult(r, data); err != nil {
		return fmt.Errorf("send success: %w", err)
	}
	return nil
}

// SendError answers r with an error and, unless data is nil, with data beside
// it. The other end reads the text of an *Error; any other error is logged and
// reads "internal error". A request is answered once: after that it returns
// ErrAnswered. If data cannot be encoded, r is not answered yet.
func (c *Conn) SendError(r *Request, err error, data any) error {
	if err == nil {
		return errors.New("send error: no error given")
	}
	if err := c.sendError(r, err, data); err != nil {
		return fmt.Errorf("send error: %w", err)
	}
	return nil
}

// sendResult answers r with the result of a handler.
func (c *Conn) sendResult(r *Request, result any) error {
	e := envelope{}
	if reply, ok := result.(*Reply); ok && reply != nil {
		result = *reply
	}
	if reply, ok := result.(Reply); ok {
		result = reply.Data
		if reply.Type != "" {
			e.typ = encodeString(reply.Type)
		}
	}
	return c.answer(r, e, result)
}

func (c *Conn) sendError(r *Request, err error, data any) error {
	text, ok := readable(err)
	if r != nil && !ok {
		c.logFailed(r, err)
	}
	return c.answer(r, envelope{err: text}, data)
}

// answer sends the one reply to r.
func (c *Conn) answer(r *Request, e envelope, data any) error {
	f, err := c.reply(r, e, data)
	if err != nil {
		return err
	}
	return c.pushFrame(f)
}

// reply makes the one reply to r. It must be sent.
func (c *Conn) reply(r *Request, e envelope, data any) (frame, error) {
	if r == nil || len(r.ID) == 0 || r.Type == "" && r.rawType == nil {
		return nil, errNoRequest
	}
	if r.answered.Load() {
		return nil, ErrAnswered
	}
	var err error
	if e.data, err = encodeOptional(data); err != nil {
		return nil, err
	}
	if e.id, err = encodeValue(r.ID); err != nil {
		return nil, fmt.Errorf("id of request: %w", err)
	}
	if text := idProblem(e.id); text != "" {
		return nil, fmt.Errorf("id of request: %s", text)
	}
	if e.typ == nil {
		e.typ = r.echo()
	}
	f, err := c.hub.frame(e.encode())
	if err != nil {
		return nil, fmt.Errorf("reply: %w", err)
	}
	if !r.answer() {
		return nil, ErrAnswered
	}
	return f, nil
}
