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
	define(&h.setup, h.log, &h.rules, pattern, &rule{allow: allow})
}

// AllowViews stands in place of Allow for the groups that match the pattern. Each member
// gets the view that the function returns: one of the names in views, [a-z0-9_]{1,32}, at
// most 16 of them. Any other name is an error. An error refuses as that of Allow does.
//
// A view is a stream of its own, with its own offsets and history. A model's
// PushNotificationDataTx method makes an object for each view (PayloadQuery.View), once for
// all its members; the other payload methods give every view the same. A snapshot function
// gets the view as SnapshotRequest.View. Publish, Notify, Send and every Resync go to all
// views; Change.View limits a change to one. The client reads the name of the group, never
// that of the view.
//
// If a Recheck returns another view for a member, its client gets nothing more of the former
// one. It gets a Resync with the reason "view", and from then on the new view.
//
// All hubs of a broker must register the same views, also those of processes without
// connections, such as workers: their changes would else reach no view.
func (h *Hub) AllowViews(pattern string, views []string, choose func(ctx context.Context, c *Conn, p Params) (view string, err error)) {
	if choose == nil {
		panic(fmt.Sprintf("rohrpost: pattern %q: no function", pattern))
	}
	if err := wire.CheckViews(views); err != nil {
		panic(fmt.Sprintf("rohrpost: pattern %q: %v", pattern, err))
	}
	h.hasViews.Store(true)
	define(&h.setup, h.log, &h.rules, pattern, &rule{views: slices.Clone(views), choose: choose})
}

// rule decides about the groups of a pattern.
type rule struct {
	allow  allowFunc // nil: choose
	views  []string  // nil: the groups have none
	choose func(ctx context.Context, c *Conn, p Params) (view string, err error)
}

// decide returns the stream that the connection gets.
func (r *rule) decide(ctx context.Context, c *Conn, group string, p Params) (stream string, err error) {
	if r.allow != nil {
		return group, r.allow(ctx, c, p)
	}
	view, err := r.choose(ctx, c, p)
	if err == nil && !slices.Contains(r.views, view) {
		err = fmt.Errorf("the function of AllowViews returned the view %.100q, which is none of %q", view, r.views)
	}
	return wire.Stream(group, view), err
}

// ruleFor returns the rule for a group, nil if there is none.
func (h *Hub) ruleFor(group string) (*rule, Params) {
	h.setup.RLock()
	rules := h.rules
	h.setup.RUnlock()
	return rules.Find(group)
}

// viewsOf returns the views of a group, nil for none. The stream of a view has none.
func (h *Hub) viewsOf(group string) []string {
	if !h.hasViews.Load() || !wire.ValidGroup(group) {
		return nil
	}
	h.setup.RLock()
	rules := h.rules
	h.setup.RUnlock()
	if rule := rules.For(group); rule != nil {
		return rule.views
	}
	return nil
}

// streamOf returns the stream of a view of a group, or of a group without views.
func (h *Hub) streamOf(group, view string) (string, error) {
	if !wire.ValidGroup(group) {
		return "", fmt.Errorf("malformed group name %.250q", group)
	}
	views := h.viewsOf(group)
	if view == "" && views != nil {
		return "", fmt.Errorf("the group %s has views: name one of %q", group, views)
	}
	if view != "" && !slices.Contains(views, view) {
		return "", fmt.Errorf("the group %s has no view %.100q; AllowViews gives it %q", group, view, views)
	}
	return wire.Stream(group, view), nil
}

// streamsOf returns the streams of a group: those of its views, else its own.
func (h *Hub) streamsOf(group string) []string {
	views := h.viewsOf(group)
	if views == nil {
		return []string{group}
	}
	streams := make([]string, len(views))
	for i, view := range views {
		streams[i] = wire.Stream(group, view)
	}
	return streams
}

var _ fanout.Permit = (*permit)(nil)

// permit is the decision about a subscription. It holds until the access of the user
// changes, or the connection is refused what it had. That of Anyone always holds: nobody
// can lose it, and a crowd of anonymous clients shares one user.
type permit struct {
	conn     *Conn
	group    string
	stream   string // that the connection gets; "": not decided yet
	isPublic bool
	user     string
	moment   uint64 // of the ledger, before the decision
	losses   uint64 // of the connection, before the decision
}

// Decide implements fanout.Permit. It returns nil, ErrUnavailable, or an error that the
// client reads as errDenied.
func (p *permit) Decide(ctx context.Context) error {
	p.user = p.conn.user()
	p.moment, p.losses = p.conn.hub.ledger.Now(), p.conn.losses.Load()
	stream, err := p.conn.authorize(ctx, p.group)
	if err == nil && p.stream != "" && p.stream != stream {
		return ErrUnavailable // it is on the way into another view, and may ask again
	}
	p.stream, p.isPublic = stream, err == nil && p.conn.hub.isPublic(stream)
	return err
}

// Holds implements fanout.Permit.
func (p *permit) Holds() bool {
	return p.isPublic || p.isCurrent() && p.conn.hub.ledger.Holds(p.user, p.moment)
}

// MayResume implements fanout.Permit.
func (p *permit) MayResume(since Position) bool {
	return p.isPublic || p.conn.hub.ledger.MayResume(p.user, p.stream, since)
}

// Admit implements fanout.Permit.
func (p *permit) Admit(at Position) bool {
	return p.isPublic || p.isCurrent() && p.conn.hub.ledger.Admit(p.user, p.stream, p.moment, at)
}

// isCurrent reports whether the connection is as it was before the decision.
func (p *permit) isCurrent() bool {
	return p.user == p.conn.user() && p.losses == p.conn.losses.Load()
}

// authorize asks the function of Allow or AllowViews about a well-formed group name: for a
// subscription, with or without a replay or a snapshot, and for a recheck. Nothing else
// decides. It returns the stream that the connection gets.
func (c *Conn) authorize(parent context.Context, group string) (stream string, err error) {
	rule, params := c.hub.ruleFor(group)
	if rule == nil {
		return "", errDenied
	}
	ctx := lazyctx.New(parent, c.hub.config.Limits.AuthorizeTimeout)
	defer ctx.End()
	err = c.run(ctx, func() (err error) {
		stream, err = rule.decide(ctx, c, group, params)
		return err
	})
	late := ctx.Err()
	if err == nil {
		err = late
	}
	if err == nil {
		return stream, nil
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
	return "", refusal
}

// tokenIn returns the token in the request for which Allow is called, "" if it has none.
func (c *Conn) tokenIn(ctx context.Context) (token string) {
	if r := RequestFromContext(ctx); r != nil {
		_ = json.Unmarshal(r.Field(tokenField), &token) // or there is none
	}
	return token
}

// isPublic reports whether Anyone admits to a stream.
func (h *Hub) isPublic(stream string) bool {
	rule, _ := h.ruleFor(wire.GroupOf(stream))
	return rule != nil && rule.allow != nil && reflect.ValueOf(rule.allow).Pointer() == reflect.ValueOf(Anyone).Pointer()
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

// Authorize implements access.Conn. The function of Allow or AllowViews gets a request in place of that with which the
// client has subscribed: it has the group, and the latest token of the client.
func (s *subject) Authorize(ctx context.Context, stream string) error {
	group := wire.GroupOf(stream)
	now, err := (*Conn)(s).authorize(s.asking(ctx, group), group)
	switch {
	case errors.Is(err, ErrUnavailable) || errors.Is(err, errLate):
		return access.ErrUndecided
	case err == nil && now != stream:
		return access.ErrMoved
	}
	return err
}

// asking returns a context with the request about a group.
func (s *subject) asking(ctx context.Context, group string) context.Context {
	received := wire.Request{ID: wire.EncodeString("recheck"), Type: wire.EncodeString("subscribe"), Name: "subscribe"}
	received.Data = append(append([]byte(`{"group":`), wire.EncodeString(group)...), '}')
	if field := s.credentials.Load().field; field != nil {
		received.Fields = map[string]json.RawMessage{tokenField: field}
	}
	return context.WithValue(ctx, requestKey{}, newRequest(received, nil))
}

// Move implements access.Conn. The client gets a resync with the position from which the
// new view follows. If that is not to be had, it learns that its membership has ended.
func (s *subject) Move(ctx context.Context, stream string) error {
	wait := s.member.Revoke(access.Exactly(stream), func(string) wire.Frame { return nil })
	if err := wait(ctx); err != nil {
		return err
	}
	c, p := (*Conn)(s), &permit{conn: (*Conn)(s), group: wire.GroupOf(stream)}
	err := p.Decide(s.asking(ctx, p.group))
	if err == nil {
		err = c.member.Subscribe(ctx, fanout.Subscription{Group: p.stream, Permit: p, FromNow: true, Answer: func(o *fanout.Outcome) (wire.Frame, error) {
			return wire.ResyncFrame(p.stream, wire.ReasonView, 1, o.Position.Epoch, o.Position.Offset), nil
		}})()
		c.member.Wake()
	}
	if err == nil || errors.Is(err, fanout.ErrClosed) {
		return nil
	}
	c.hub.log.Warn("rohrpost: a member has lost its view of a group, and gets no other one", "group", p.group, "user", c.user(), "error", err)
	last := wire.ResyncFrame(stream, wire.ReasonView, 1, "", 0)
	if c.wanted().unsubscribed {
		last = wire.UnsubscribedFrame(stream, wire.ReasonRevoked)
	}
	_ = c.pushFrame(last) // or the connection ends
	return nil
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
