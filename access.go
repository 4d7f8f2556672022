package rohrpost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/rohrpost/rohrpost/internal/lazyctx"
	"github.com/rohrpost/rohrpost/internal/panics"
	"github.com/rohrpost/rohrpost/internal/wire"
)

type allowFunc = func(ctx context.Context, c *Conn, p Params) error

// Anyone is a function for Allow that admits every connection.
func Anyone(context.Context, *Conn, Params) error { return nil }

// Allow lets connections subscribe to the groups that match the pattern, if allow
// returns nil. Without a pattern for a group the hub refuses every subscription. It
// refuses after any error: the client reads "UNAVAILABLE" for ErrUnavailable, else
// "ACCESS_DENIED", as for a group that does not exist. The hub logs ErrUnavailable and
// every error that is not an *Error. allow is called concurrently, with
// Limits.AuthorizeTimeout as deadline.
//
// A pattern is literal text and placeholders, as in "project-{project}-{id}". A
// placeholder stands for one or more bytes, "-" included, up to the first place where the
// text after it follows; the last one takes the rest. allow gets its value unescaped, as
// FormatGroup got it: it may contain any character. {id:int} stands only for an integer of
// 64 bits without leading zeros, {id:uuid} only for a UUID in lower case. Text must stand
// between two placeholders. It must not begin with "~", nor after an integer with a digit.
// A name with a "~" that begins no escaped byte is in no group.
//
// If several patterns match, the one with most literal bytes decides alone, and of those
// the first one defined. Allow logs a warning about two patterns that can match one name.
//
// Allow panics if the pattern is malformed, or if an equal one is defined. It may be
// called at any time. Open connections keep their memberships.
func (h *Hub) Allow(pattern string, allow func(ctx context.Context, c *Conn, p Params) error) {
	if allow == nil {
		panic(fmt.Sprintf("rohrpost: pattern %q: no function", pattern))
	}
	h.setup.Lock()
	defer h.setup.Unlock()
	h.rules = define(h.log, h.rules, pattern, allow)
}

// permit is the decision about a subscription. It holds until the access of the user
// changes.
type permit struct {
	conn       *Conn
	group      string
	generation uint64 // of the user's access, before the decision
}

// decide decides, once more or for the first time. It returns nil, ErrUnavailable, or
// errDenied for every other reason.
func (p *permit) decide(ctx context.Context) error {
	p.generation = p.conn.hub.generations.of(p.conn.identity.ID)
	return p.conn.authorize(ctx, p.group)
}

// holds reports whether the decision still holds.
func (p *permit) holds() bool { return p.generation == p.conn.hub.generations.of(p.conn.identity.ID) }

// generations counts how often the access of each user has changed. The zero value is
// ready. Its methods may be called concurrently, and do not wait.
type generations struct {
	mu     sync.RWMutex
	counts map[string]uint64
}

func (g *generations) of(user string) uint64 {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.counts[user]
}

// raise makes every permit of the user invalid.
func (g *generations) raise(user string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.counts == nil {
		g.counts = make(map[string]uint64)
	}
	g.counts[user]++
}

// authorize asks the function of Allow about a well-formed group name. Only a permit
// calls it.
func (c *Conn) authorize(parent context.Context, group string) error {
	allow, params := c.hub.ruleFor(group)
	if allow == nil {
		return errDenied
	}
	ctx := lazyctx.New(parent, c.hub.config.Limits.AuthorizeTimeout)
	defer ctx.End()
	err := panics.Call(func() error { return allow(ctx, c, params) })
	if err == nil {
		err = ctx.Err() // the decision came too late
	}
	if err == nil {
		return nil
	}
	refusal := errDenied
	if errors.Is(err, ErrUnavailable) {
		refusal = ErrUnavailable
	}
	if _, ok := readable(err); (!ok || refusal != errDenied) && c.ctx.Err() == nil {
		c.hub.log.Error("rohrpost: refuse a group", "group", group, "user", c.identity.ID, "error", err)
	}
	return refusal
}

func (h *Hub) ruleFor(group string) (allowFunc, Params) {
	h.setup.RLock()
	rules := h.rules
	h.setup.RUnlock()
	return rules.Find(group)
}

// groupOf maps the data of a request to a well-formed group name.
func (c *Conn) groupOf(ctx context.Context, data json.RawMessage) (group string, err error) {
	err = panics.Call(func() (err error) {
		group, err = c.hub.config.GroupOf(ctx, c, data)
		return err
	})
	var p *panics.Error
	if errors.As(err, &p) {
		c.hub.log.Error("rohrpost: map data to a group", "user", c.identity.ID, "error", err)
	}
	if err != nil || !wire.ValidGroup(group) {
		return "", errDenied
	}
	return group, nil
}
