package upstream

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"slices"

	"github.com/rohrpost/rohrpost/broker"
)

// orderStream carries what hubs tell each other to do.
const orderStream = "!orders"

// control is what hubs tell each other.
type control struct {
	Order
	From string `json:"from"` // the source of the hub that orders
}

// Order publishes an order under a source of its own, so that the hub can repeat the call.
func (r *remote) Order(ctx context.Context, o Order) error {
	messages, err := r.order(o)
	if err != nil {
		return err
	}
	p := &publishCall{remote: r, batches: []broker.Batch{{Source: rand.Text(), Number: 1, Messages: r.encoded(messages)}}}
	return r.retry(ctx, "order other hubs", p.publish)
}

// order returns the message that carries an order.
func (r *remote) order(o Order) ([]broker.Message, error) {
	payload, err := json.Marshal(control{Order: o, From: r.source})
	return []broker.Message{{Stream: orderStream, Payload: payload}}, err
}

func (r *remote) ResyncAll(pattern string, object json.RawMessage) ([]broker.Message, error) {
	return r.order(Order{Kind: OrderResync, Pattern: pattern, Object: object})
}

// resyncOfAll returns what makes all groups load their snapshots again.
func (r *remote) resyncOfAll() []broker.Message {
	messages, _ := r.ResyncAll(r.AnyGroup, r.Overflow) // always encodes
	return r.encoded(messages)
}

// resyncsOf returns what makes groups load their snapshots again.
func (r *remote) resyncsOf(groups []string) []broker.Message {
	messages, err := resyncs(r.Receiver, slices.Compact(groups), r.Overflow)
	if err != nil {
		return r.resyncOfAll()
	}
	return r.encoded(messages)
}

// obey does what a hub tells all hubs.
func (r *remote) obey(m *broker.Message) {
	var c control
	payload, err := r.codec.decode(m.Stream, m.Payload)
	if err == nil {
		err = json.Unmarshal(payload, &c)
	}
	if err != nil {
		r.unread(m, err)
		return
	}
	switch {
	case c.Kind == OrderResync:
		r.resync(c.Pattern, c.Object)
	case c.From != r.source: // it has obeyed its own
		r.Tasks.Go(func(ctx context.Context) { r.Receiver.Obey(ctx, c.Order) })
	}
}

// resync publishes resyncs to the groups of this hub.
func (r *remote) resync(pattern string, object json.RawMessage) {
	groups, err := r.Receiver.Matching(pattern)
	if err == nil {
		var batch []broker.Message
		batch, err = resyncs(r.Receiver, groups, object)
		r.Publish(batch)
	}
	if err != nil {
		r.Logger.Error("rohrpost: publish a resync", "pattern", pattern, "error", err)
	}
}
