package rohrpost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/rohrpost/rohrpost/internal/access"
	"github.com/rohrpost/rohrpost/internal/fanout"
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

var _ fanout.Permit = (*permit)(nil)

// permit is the decision about a subscription. It holds until the access of the user
// changes.
type permit struct {
	conn       *Conn
	group      string
	user       string
	generation uint64 // of the user's access, before the decision
}

// Decide implements fanout.Permit. It returns nil, ErrUnavailable, or an error that the
// client reads as errDenied.
func (p *permit) Decide(ctx context.Context) error {
	p.user = p.conn.user()
	p.generation = p.conn.hub.ledger.Generation(p.user)
	return p.conn.authorize(ctx, p.group)
}

// Holds implements fanout.Permit.
func (p *permit) Holds() bool {
	return p.user == p.conn.user() && p.generation == p.conn.hub.ledger.Generation(p.user)
}

// MayResume implements fanout.Permit.
func (p *permit) MayResume(since Position) bool {
	return p.conn.hub.ledger.MayResume(p.user, p.group, since)
}

// Admit implements fanout.Permit.
func (p *permit) Admit(at Position) bool {
	return p.user == p.conn.user() && p.conn.hub.ledger.Admit(p.user, p.group, p.generation, at)
}

// authorize asks the function of Allow about a well-formed group name: for a subscription,
// with or without a replay or a snapshot, and for a recheck. Nothing else decides.
func (c *Conn) authorize(parent context.Context, group string) error {
	allow, params := c.hub.ruleFor(group)
	if allow == nil {
		return errDenied
	}
	ctx := lazyctx.New(parent, c.hub.config.Limits.AuthorizeTimeout)
	defer ctx.End()
	err := c.run(ctx, func() error { return allow(ctx, c, params) })
	late := ctx.Err()
	if err == nil {
		err = late
	}
	if err == nil {
		return nil
	}
	refusal := errDenied
	if errors.Is(late, context.DeadlineExceeded) {
		refusal = errLate
	}
	if errors.Is(err, ErrUnavailable) {
		refusal = ErrUnavailable
	}
	if _, ok := readable(err); (!ok || refusal != errDenied) && c.ctx.Err() == nil {
		c.hub.log.Error("rohrpost: refuse a group", "group", group, "user", c.user(), "error", scrubbed(err, c.tokenIn(parent)))
	}
	return refusal
}

// tokenIn returns the token in the request for which Allow is called, "" if it has none.
func (c *Conn) tokenIn(ctx context.Context) (token string) {
	if r := RequestFromContext(ctx); r != nil {
		_ = json.Unmarshal(r.Field(tokenField), &token) // or there is none
	}
	return token
}

// isPublic reports whether Anyone admits to a group.
func (h *Hub) isPublic(group string) bool {
	allow, _ := h.ruleFor(group)
	return allow != nil && reflect.ValueOf(allow).Pointer() == reflect.ValueOf(Anyone).Pointer()
}

// subject is a Conn as the enforcer of its hub sees it.
type subject Conn

// subjects returns the connections of a user, "" for all.
func (h *Hub) subjects(user string) (all []*subject) {
	conns := h.conns.Of(user)
	if user == "" {
		conns = h.conns.All()
	}
	for _, c := range conns {
		all = append(all, (*subject)(c))
	}
	return all
}

// Who implements access.Conn.
func (s *subject) Who() (user string, token tokenHash) {
	who := s.credentials.Load()
	return who.ID, who.token
}

// Asked implements access.Conn. What Anyone admits is not asked, and neither is what
// Conn.Join has decided.
func (s *subject) Asked() []string {
	return slices.DeleteFunc(s.member.Subscribed(), s.hub.isPublic)
}

// Authorize implements access.Conn. Allow gets a request in place of that with which the
// client has subscribed: it has the group, and the latest token of the client.
func (s *subject) Authorize(ctx context.Context, group string) error {
	received := wire.Request{ID: wire.EncodeString("recheck"), Type: wire.EncodeString("subscribe"), Name: "subscribe"}
	received.Data = append(append([]byte(`{"group":`), wire.EncodeString(group)...), '}')
	if field := s.credentials.Load().field; field != nil {
		received.Fields = map[string]json.RawMessage{tokenField: field}
	}
	err := (*Conn)(s).authorize(context.WithValue(ctx, requestKey{}, newRequest(received, nil)), group)
	if errors.Is(err, ErrUnavailable) || errors.Is(err, errLate) {
		return access.ErrUndecided
	}
	return err
}

// EndMemberships implements access.Conn.
func (s *subject) EndMemberships(match func(group string) bool) (wait func(context.Context) error) {
	wants := (*Conn)(s).wanted()
	return s.member.Revoke(match, func(group string) wire.Frame {
		s.hub.counters.revoked.Add(1)
		if !wants.unsubscribed {
			return nil
		}
		return wire.UnsubscribedFrame(group, wire.ReasonRevoked)
	})
}

// End implements access.Conn.
func (s *subject) End(code int, reason string) (wait func(context.Context) error) {
	s.member.End(code, reason, true)
	return s.member.Settle
}

// Ended implements access.Conn.
func (s *subject) Ended() bool { return s.member.Ended() }

// SetRecheck implements access.Conn.
func (s *subject) SetRecheck(after time.Duration) {
	s.nextRecheck.Store(int64(time.Since(s.hub.began) + after))
}

func (h *Hub) ruleFor(group string) (allowFunc, Params) {
	h.setup.RLock()
	rules := h.rules
	h.setup.RUnlock()
	return rules.Find(group)
}

// groupOf maps the data of a request to a well-formed group name.
func (c *Conn) groupOf(ctx context.Context, data json.RawMessage) (group string, err error) {
	err = c.run(ctx, func() (err error) {
		group, err = c.hub.config.GroupOf(ctx, c, data)
		return err
	})
	if errors.Is(err, ErrUnavailable) {
		return "", ErrUnavailable
	}
	var p *panics.Error
	if errors.As(err, &p) {
		c.hub.log.Error("rohrpost: map data to a group", "user", c.user(), "error", err)
	}
	if err != nil || !wire.ValidGroup(group) {
		return "", errDenied
	}
	return group, nil
}

// run runs a function of the program, one of Limits.MaxFunctions at a time. It returns
// ErrUnavailable if it finds no place before ctx ends.
func (c *Conn) run(ctx context.Context, f func() error) error {
	names := c.place.Names()
	if c.hub.functions.Take(ctx, names) != nil {
		return ErrUnavailable
	}
	defer c.hub.functions.Leave(names)
	return panics.Call(f)
}
