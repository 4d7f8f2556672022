package rohrpost

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/handlers"
	"github.com/rohrpost/rohrpost/internal/fanout"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// subscribe answers a subscribe request. It is the only way by which a request makes a
// connection a member. The decision about it keeps the order of requests; a snapshot is
// read beside them.
func (c *Conn) subscribe(ctx context.Context, r *Request) (any, error) {
	group, err := c.groupOf(ctx, r.Data)
	if err != nil {
		c.countRefusal(string(r.Data))
		return nil, err
	}
	wanted, err := handlers.ParseSubscribe(r.Data)
	if err != nil {
		return nil, codedError(wire.CodeMalformed, "%w", err)
	}
	c.keepToken(r.Field(tokenField))
	if err := c.member.MayJoin(c.hub.streamsOf(group)...); err != nil {
		return nil, outward(err) // before Allow is asked, and a history begins
	}
	p := &permit{conn: c, group: group}
	ctx = context.WithValue(ctx, requestKey{}, r)
	if err := p.Decide(ctx); err != nil {
		return nil, c.refused(ctx, group, wanted.Resume, err)
	}
	c.leaveOthers(group, p.stream)
	a := &subscribeAnswer{conn: c, request: r, stream: p.stream}
	s := fanout.Subscription{Group: p.stream, Permit: p, FromNow: !p.isPublic, Answer: a.frame, Withdrawn: a.withdrawn}
	if wanted.Resume {
		s.Since = &broker.Position{Epoch: wire.EpochFrom(p.stream, wanted.Epoch), Offset: wanted.Offset}
	}
	if !wanted.Snapshot {
		return nil, c.refused(ctx, group, wanted.Resume, outward(c.member.Subscribe(ctx, s)()))
	}
	s.Snapshot, s.Timeout = a.snapshot, 2*c.hub.config.Limits.RequestTimeout // for a place, and for the call
	if err := c.takeBeside(ctx); err != nil {
		return nil, err
	}
	run := c.member.Subscribe(context.WithValue(c.ctx, requestKey{}, r), s)
	c.answerBeside(r, func() error {
		return c.refused(c.ctx, group, wanted.Resume, c.hub.explainSnapshot(group, run()))
	})
	return nil, errBeside
}

// refused ends the membership of a client that subscribes once more and is refused. Its user
// may not resume from a position that it has, since its right has ended at some time after
// that. Decisions about other connections still hold: Allow has made them, and a client that
// is refused again and again must keep nobody from a snapshot. Anonymous clients are not one
// user: the wish of one to resume says nothing about the others.
func (c *Conn) refused(ctx context.Context, group string, resume bool, err error) error {
	if !errors.Is(err, errDenied) && !errors.Is(err, errLate) {
		return err
	}
	c.countRefusal(group)
	isGroup := func(stream string) bool { return wire.GroupOf(stream) == group }
	isMember := slices.ContainsFunc(c.member.Subscribed(), isGroup)
	if isMember || resume {
		c.losses.Add(1)
	}
	if isMember || resume && c.user() != "" {
		c.hub.ledger.Refuse(c.user(), group, isGroup)
	}
	if isMember {
		if late := (*subject)(c).EndMemberships(isGroup)(ctx); late != nil {
			return late
		}
	}
	return err
}

// leaveOthers ends what the connection has of other views of a group than that of the
// stream. Its client has asked for the group again.
func (c *Conn) leaveOthers(group, stream string) {
	if stream == group {
		return // it has none
	}
	for _, other := range c.hub.streamsOf(group) {
		if other != stream {
			c.member.Leave(other, nil)
		}
	}
}

// withdrawn implements fanout.Subscription.Withdrawn: a user whom Allow still admits may
// ask again.
func (a *subscribeAnswer) withdrawn() wire.Frame {
	f, err := a.conn.followUp(a.request, a.conn.refusal(nil, ErrUnavailable), nil)
	if err != nil {
		return nil // the id of a request always encodes
	}
	return f
}

// subscribeAnswer makes the frames that answer a subscribe request: one, or one for each
// part of a snapshot.
type subscribeAnswer struct {
	conn    *Conn
	request *Request
	stream  string
	isArray bool // the parts of the snapshot lack their brackets
}

// snapshot implements fanout.Subscription.Snapshot.
func (a *subscribeAnswer) snapshot(ctx context.Context, at Position, reach func(from Position) bool) (fanout.Snapshot, error) {
	encoded, at, err := a.conn.hub.readSnapshot(ctx, a.conn, a.stream, at, reach)
	if err != nil {
		return fanout.Snapshot{}, err
	}
	s := fanout.Snapshot{Position: at, Parts: []json.RawMessage{encoded.JSON}}
	if a.isArray = a.conn.wanted().parts && encoded.Parts != nil; a.isArray {
		s.Parts = encoded.Parts
	}
	return s, nil
}

// frame implements fanout.Subscription.Answer. The first frame is the reply.
func (a *subscribeAnswer) frame(o *fanout.Outcome) (wire.Frame, error) {
	data, err := a.data(o)
	if err != nil {
		return nil, err
	}
	if a.request.isAnswered() {
		return a.conn.followUp(a.request, wire.Envelope{}, data)
	}
	return a.conn.reply(a.request, wire.Envelope{}, data)
}

func (a *subscribeAnswer) data(o *fanout.Outcome) (data wire.Object, err error) {
	raw, err := json.Marshal(subscribeReply(a.stream, o))
	switch {
	case err != nil:
		return data, err
	case o.Snapshot == nil:
		return wire.ObjectOf(raw), nil
	case a.isArray:
		return wire.AppendField(raw, "snapshot", []byte{'['}, o.Snapshot, []byte{']'}), nil
	}
	return wire.AppendField(raw, "snapshot", o.Snapshot), nil
}

func subscribeReply(stream string, o *fanout.Outcome) handlers.SubscribeReply {
	reply := handlers.SubscribeReply{Group: wire.GroupOf(stream), Part: o.Part, Last: o.Last}
	if o.Part > 1 {
		return reply
	}
	reply.Reason = o.Reason
	if o.Position.Epoch != "" {
		reply.Epoch, reply.Offset = wire.EpochFor(stream, o.Position.Epoch), &o.Position.Offset
		if o.Recovered {
			reply.Missed = &o.Missed
		}
	}
	if o.Resumed {
		reply.Recovered = &o.Recovered
	}
	return reply
}

// unsubscribe answers an unsubscribe request. The reply is the same whether or not the
// connection was a member, and whether or not it could be one.
func (c *Conn) unsubscribe(ctx context.Context, r *Request) (any, error) {
	group, err := c.groupOf(ctx, r.Data)
	if err != nil {
		return nil, err
	}
	c.leave(group, nil)
	return handlers.SubscribeReply{Group: group}, nil
}
