package rohrpost

import (
	"context"

	"github.com/rohrpost/rohrpost/internal/wire"
)

// useBroker makes the broker of the hub.
func (h *Hub) useBroker() {
	if h.broker = h.config.Broker; h.broker != nil {
		h.remote = newRemote(h)
		return
	}
	h.memory = NewMemory(h.config.History)
	h.memory.off = h.config.NoHistory
	h.memory.seal = func(payload []byte, offset uint64) []byte { return wire.ChangeFrame(payload, offset) }
	h.memory.listen(h.deliver)
	h.broker = h.memory
}

// carry hands messages to the broker. The hub's own one can be neither slow nor
// away; to any other they go by the lane.
func (h *Hub) carry(batch []BrokerMessage) error {
	switch {
	case len(batch) == 0:
	case h.memory != nil:
		return h.memory.Publish(context.Background(), batch)
	default:
		h.remote.publish(batch)
	}
	return nil
}

// deliver hands what comes from the broker to the members of the groups. It is the
// only way to one.
func (h *Hub) deliver(batch []BrokerMessage) {
	var one [1]post // most commits change one row
	posts := one[:0]
	for i := range batch {
		if p, ok := h.received(&batch[i]); ok {
			posts = append(posts, p)
		}
	}
	if len(posts) > 0 {
		h.groups.publish(posts, half(h.config.SendQueueBytes))
	}
}

// received makes a post of a message from the broker.
func (h *Hub) received(m *BrokerMessage) (post, bool) {
	p := post{group: m.Stream, epoch: m.Epoch, offset: m.Offset, plain: m.Plain}
	if h.memory != nil {
		p.frame = m.Payload // it is sealed
		return p, true
	}
	if !h.remote.accepts(m) {
		return p, false
	}
	p.frame = wire.ChangeFrame(m.Payload, m.Offset)
	return p, true
}

// history reads messages of a group after an offset, and its position.
func (h *Hub) history(ctx context.Context, group string, after uint64, limit int) (Position, []post, error) {
	epoch, offset, messages, err := h.broker.History(ctx, group, after, limit)
	if err != nil {
		return Position{}, nil, err
	}
	posts := make([]post, 0, len(messages))
	for i := range messages {
		if p, ok := h.received(&messages[i]); ok {
			posts = append(posts, p)
		}
	}
	return Position{epoch, offset}, posts, nil
}

// openGate opens the gate of a new group, sooner or later.
func (h *Hub) openGate(gr *group) {
	if h.remote != nil {
		h.remote.open(gr)
		return
	}
	_ = h.openNow(context.Background(), gr) // a Memory does not fail
}

func (h *Hub) openNow(ctx context.Context, gr *group) error {
	epoch, offset, err := h.broker.Subscribe(ctx, gr.name)
	if err != nil {
		return err
	}
	if !h.groups.open(gr, Position{epoch, offset}) {
		h.abandon(gr.name)
	}
	return nil
}

// abandon lets go of a stream whose group nobody is in any more.
func (h *Hub) abandon(group string) {
	if h.remote != nil {
		h.remote.lane.add(errand{unsubscribe: group})
		return
	}
	_ = h.memory.Unsubscribe(context.Background(), group) // does not fail
}
