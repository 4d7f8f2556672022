package rohrpost

import (
	"errors"
	"fmt"
)

// SendSuccess answers r with data; nil is a reply without data. A request is
// answered once: after that it returns ErrAnswered. If data cannot be encoded,
// r is not answered yet.
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

// SendError answers r with an error and, unless data is nil, with data beside
// it. The other end reads the text of an *Error; any other error is logged and
// reads "internal error". A request is answered once: after that it returns
// ErrAnswered. If data cannot be encoded, r is not answered yet.
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
func (c *Conn) resultFrame(r *Request, result any) (frame, error) {
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
	return c.reply(r, e, result)
}

func (c *Conn) errorFrame(r *Request, err error, data any) (frame, error) {
	text, ok := readable(err)
	if r != nil && !ok {
		c.logFailed(r, err)
	}
	return c.reply(r, envelope{err: text}, data)
}

// reply makes the one reply to r. It must be sent.
func (c *Conn) reply(r *Request, e envelope, data any) (f frame, err error) {
	if r == nil || len(r.ID) == 0 || r.Type == "" && r.rawType == nil {
		return nil, errNoRequest
	}
	if r.isAnswered() {
		return nil, ErrAnswered
	}
	if e.data, err = encodeOptional(data); err != nil {
		return nil, err
	}
	if e.id = r.id; e.id == nil { // the program has made the request
		if e.id, err = encodeID(r.ID); err != nil {
			return nil, fmt.Errorf("id of request: %w", err)
		}
	}
	if e.typ == nil {
		e.typ = r.echo()
	}
	if f, err = c.frame(e); err != nil {
		return nil, err
	}
	if !r.answer() {
		return nil, ErrAnswered
	}
	return f, nil
}

// frame puts the header in front of the message without copying it.
func (c *Conn) frame(e envelope) (frame, error) {
	b := e.appendTo(make([]byte, maxHeader, maxHeader+e.size()))
	var space [maxHeader]byte
	header := appendHeader(space[:0], finalText, len(b)-maxHeader)
	f := b[maxHeader-len(header):]
	copy(f, header)
	if err := c.hub.fits(b[maxHeader:]); err != nil {
		return nil, fmt.Errorf("reply: %w", err)
	}
	return f, nil
}
