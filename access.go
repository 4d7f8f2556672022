package rohrpost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/rohrpost/rohrpost/internal/panics"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// Params are what the placeholders of an Allow pattern stand for, by name.
type Params map[string]string

type allowFunc = func(ctx context.Context, c *Conn, p Params) error

// Anyone is the function for Allow where a group is public.
func Anyone(context.Context, *Conn, Params) error { return nil }

// Allow lets connections subscribe to the groups that match the pattern, if
// allow agrees by returning nil. Without it nobody can subscribe to anything.
// Any error refuses, and the other end reads "ACCESS_DENIED", as for a group that
// does not exist, or "UNAVAILABLE" for ErrUnavailable. What is no *Error is
// logged, and so is ErrUnavailable. allow is called concurrently, with
// Config.AuthorizeTimeout as deadline.
//
// A pattern is literal text and placeholders, as in "project-{project}-{id}".
// A placeholder stands for one or more characters, "-" included, up to the
// first place where the text after it follows; the last one takes the rest. Of
// several patterns that match, the one with most literal bytes decides alone,
// and of those the one allowed first.
//
// Allow panics if the pattern is malformed, or if an equal one is defined. It
// may be called at any time, also while connections are open: those keep the
// groups they are in.
func (h *Hub) Allow(pattern string, allow func(ctx context.Context, c *Conn, p Params) error) {
	if allow == nil {
		panic(fmt.Sprintf("rohrpost: pattern %q: no function", pattern))
	}
	h.setup.Lock()
	defer h.setup.Unlock()
	h.rules = h.rules.with(pattern, allow)
}

// authorize is the one way into a group for a request. It returns nil or
// errDenied, the same for every reason but ErrUnavailable.
func (c *Conn) authorize(parent context.Context, group string) error {
	if !wire.ValidGroup(group) {
		return errDenied
	}
	allow, params := c.hub.ruleFor(group)
	if allow == nil {
		return errDenied
	}
	ctx := newRequestContext(parent, c.hub.config.AuthorizeTimeout)
	defer ctx.end()
	err := panics.Guard(func() error { return allow(ctx, c, params) })
	if err == nil {
		err = ctx.Err() // decided too late
	}
	if err == nil {
		return nil
	}
	refusal := errDenied
	if errors.Is(err, ErrUnavailable) {
		refusal = ErrUnavailable
	}
	if _, ok := readable(err); (!ok || refusal != errDenied) && c.ctx.Err() == nil {
		c.hub.log.Error("refusing a group", "group", group, "user", c.user.ID, "error", err)
	}
	return refusal
}

func (h *Hub) ruleFor(group string) (allowFunc, Params) {
	h.setup.RLock()
	rules := h.rules
	h.setup.RUnlock()
	return rules.find(group)
}

// groupOf maps the data of a request to a well-formed group name.
func (c *Conn) groupOf(data json.RawMessage) (group string, err error) {
	err = panics.Guard(func() (err error) {
		group, err = c.hub.config.GroupOf(data)
		return err
	})
	var p *panics.Error
	if errors.As(err, &p) {
		c.hub.log.Error("mapping data to a group", "user", c.user.ID, "error", err)
	}
	if err != nil || !wire.ValidGroup(group) {
		return "", errDenied
	}
	return group, nil
}
