package rohrpost

import (
	"context"
	"encoding/json"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/handlers"
	"github.com/rohrpost/rohrpost/internal/fanout"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// subscribe answers a subscribe request. It is the only way by which a request makes a
// connection a member.
func (c *Conn) subscribe(ctx context.Context, r *Request) error {
	group, err := c.groupOf(r.Data)
	if err != nil {
		return err
	}
	wanted, err := handlers.ParseSubscribe(r.Data)
	if err != nil {
		return Errorf("%w", err)
	}
	ctx = context.WithValue(ctx, requestKey{}, r)
	if err := c.authorize(ctx, group); err != nil {
		return err
	}
	s := fanout.Subscription{Group: group}
	if wanted.Resume {
		s.Since = &broker.Position{Epoch: wanted.Epoch, Offset: wanted.Offset}
	}
	if wanted.Snapshot {
		s.Snapshot = func(ctx context.Context) (json.RawMessage, error) { return c.hub.snapshotFor(ctx, c, group) }
	}
	s.Answer = func(o *fanout.Outcome) (wire.Frame, error) {
		data, err := json.Marshal(subscribeReply(group, o))
		if err != nil {
			return nil, err
		}
		return c.reply(r, wire.Envelope{}, json.RawMessage(data))
	}
	return outward(c.member.Subscribe(ctx, s))
}

func subscribeReply(group string, o *fanout.Outcome) handlers.SubscribeReply {
	reply := handlers.SubscribeReply{Group: group, Reason: o.Reason, Snapshot: o.Snapshot}
	if o.Position.Epoch != "" {
		reply.Epoch, reply.Offset = o.Position.Epoch, &o.Position.Offset
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
func (c *Conn) unsubscribe(r *Request) (any, error) {
	group, err := c.groupOf(r.Data)
	if err != nil {
		return nil, err
	}
	c.member.Leave(group)
	return handlers.SubscribeReply{Group: group}, nil
}
