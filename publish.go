package rohrpost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/notify"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// Publish sends changes to the members of their groups, in the order given and with
// nothing of another Publish in between. It does not wait. It ignores the end of ctx,
// since the changes have happened; they have the origin of ctx. If the changes together would fill the send queue of
// a connection, that connection gets one Resync for each of its groups instead. An error
// of one change does not stop the others. After Shutdown Publish returns ErrClosed.
func (h *Hub) Publish(ctx context.Context, changes ...Change) error {
	p := publication{hub: h, count: len(changes)}
	origin := notify.OriginOf(ctx)
	for i := range changes {
		change := (*wire.Change)(&changes[i])
		if origin != "" {
			marked := *change // the caller's stays as it is
			change = &marked
			change.Mark(origin)
		}
		if err := change.Check(); err != nil {
			p.errs = append(p.errs, err)
		} else {
			p.add(change)
		}
	}
	return p.publish()
}

// PublishBatches publishes batches of messages that another source than the hub has
// numbered, such as an outbox, and returns when they are taken. A batch whose number is
// not greater than the last one of its source is dropped without an error, so that a
// call may be repeated. The stream of a message is a group, or one of its views as Outbox.Write
// gets it, and its payload the JSON of a
// message with a change; or the stream is a pattern, and the payload the object of a
// resync for all groups that match it. In place of a message that clients cannot read,
// or that is too large, the group gets a resync, or all that match the pattern get one
// without that object; a message for no group is dropped. Both are logged and counted in
// Stats.Skipped. After an error some batches may be taken: call again with the same
// numbers. After Shutdown PublishBatches returns ErrClosed.
func (h *Hub) PublishBatches(ctx context.Context, batches []broker.Batch) error {
	checked := make([]broker.Batch, len(batches))
	for i, b := range batches {
		if b.Source == "" || b.Number == 0 {
			return fmt.Errorf("rohrpost: publish batches: batch %d has no source or no number", i)
		}
		messages, err := h.checkedMessages(b.Messages)
		if err != nil {
			return fmt.Errorf("rohrpost: publish batches: %w", err)
		}
		checked[i] = broker.Batch{Source: b.Source, Number: b.Number, Messages: messages}
	}
	if err := h.upstream.Take(ctx, checked); err != nil {
		return fmt.Errorf("rohrpost: publish batches: %w", err)
	}
	return nil
}

// checkedMessages returns what is published in place of messages that were encoded
// before, perhaps by another process.
func (h *Hub) checkedMessages(messages []broker.Message) (checked []broker.Message, err error) {
	for i := range messages {
		m := broker.Message{Stream: messages[i].Stream, Payload: messages[i].Payload}
		if err := h.countPublished(); err != nil {
			return nil, err
		}
		resync := wire.Change{Group: m.Stream, Type: Resync}
		if resync.HasPattern() {
			all, err := h.upstream.ResyncAll(m.Stream, h.checkedObject(m.Stream, m.Payload))
			if err != nil {
				return nil, err
			}
			checked = append(checked, all...)
			continue
		}
		if err := checkPayload(h.config.Limits, &m, true); err != nil {
			h.counters.skipped.Add(1)
			h.log.Error("rohrpost: publish a batch", "group", m.Stream, "bytes", len(m.Payload), "error", err)
			m.Payload = wire.ResyncPayload(m.Stream, wire.ReasonSize)
		}
		if !wire.ValidStream(m.Stream) {
			continue
		}
		for _, stream := range h.streamsOf(m.Stream) { // the stream of a view is its own
			checked = append(checked, broker.Message{Stream: stream, Payload: m.Payload})
		}
	}
	return checked, nil
}

// checkedObject returns what is published in place of the object of a resync for all groups
// that match a pattern.
func (h *Hub) checkedObject(pattern string, object json.RawMessage) json.RawMessage {
	checked, err := wire.EncodeValue(object)
	if err == nil {
		err = h.config.Limits.checkFrame(wire.FramedBytes(checked))
	}
	if err != nil {
		h.counters.skipped.Add(1)
		h.log.Error("rohrpost: publish a batch", "pattern", pattern, "bytes", len(object), "error", err)
		return wire.ResyncObject(wire.ReasonSize)
	}
	return checked
}

// Taken returns the number of the last batch that PublishBatches has taken of a source, at
// this hub or another one with the same broker, 0 for none.
func (h *Hub) Taken(ctx context.Context, source string) (uint64, error) {
	number, err := h.upstream.Taken(ctx, source)
	if err != nil {
		return 0, fmt.Errorf("rohrpost: taken of %s: %w", source, err)
	}
	return number, nil
}

// HasBroker reports whether the hub has a broker, and so may share its groups with other
// hubs.
func (h *Hub) HasBroker() bool { return h.config.Broker != nil }

// Flush returns when the broker has taken everything that was published before, or with
// the error of ctx. A process that ends without Shutdown, such as a command that writes
// and exits, calls it first: what waits for the broker would be lost. Without a broker
// nothing waits.
func (h *Hub) Flush(ctx context.Context) error {
	if err := h.upstream.Flush(ctx); err != nil {
		return fmt.Errorf("rohrpost: flush: %w", err)
	}
	return nil
}

// publishCaptured is Publish for the changes of a committed transaction, which were
// checked when they were captured.
func (h *Hub) publishCaptured(changes []wire.Change) error {
	p := publication{hub: h, count: len(changes)}
	for i := range changes {
		p.add(&changes[i])
	}
	return p.publish()
}

// publication encodes the changes of one Publish.
type publication struct {
	hub   *Hub
	count int // of the changes
	batch []broker.Message
	errs  []error
}

// publish hands on the messages together.
func (p *publication) publish() error {
	if len(p.batch) > 0 {
		p.hub.upstream.Publish(p.batch)
	}
	if p.errs == nil {
		return nil
	}
	return fmt.Errorf("rohrpost: publish: %w", errors.Join(p.errs...))
}

// add encodes a change if its group has members or a history.
func (p *publication) add(ch *wire.Change) {
	if err := p.encode(ch); err != nil {
		p.errs = append(p.errs, err)
	}
}

func (p *publication) encode(ch *wire.Change) error {
	if ch.HasPattern() {
		return p.encodeForAll(ch)
	}
	if err := p.hub.countPublished(); err != nil {
		return err
	}
	if ch.View == "" && p.hub.viewsOf(ch.Group) == nil {
		return p.encodeFor(ch, ch.Group)
	}
	if ch.View == "" {
		return p.encodeFor(ch, p.hub.streamsOf(ch.Group)...)
	}
	stream, err := p.hub.streamOf(ch.Group, ch.View)
	if err != nil {
		return err
	}
	return p.encodeFor(ch, stream)
}

// encodeFor encodes a change, once, for those of the streams that have members or a
// history.
func (p *publication) encodeFor(ch *wire.Change, streams ...string) error {
	var payload []byte
	var err error
	for _, stream := range streams {
		if !p.hub.streamHasMembersOrHistory(stream) {
			continue
		}
		if payload == nil {
			if payload, err = p.payload(ch); payload == nil {
				return err
			}
		}
		if p.batch == nil {
			p.batch = make([]broker.Message, 0, p.count)
		}
		p.batch = append(p.batch, broker.Message{Stream: stream, Payload: payload})
	}
	return err
}

// payload encodes a change. With an error it returns a resync in its place, if there is one.
func (p *publication) payload(ch *wire.Change) ([]byte, error) {
	if ch.Object == (wire.Unrendered{}) {
		*ch = ch.Resync(wire.ReasonLate)
	}
	payload, err := ch.Encode()
	if err != nil {
		return nil, err
	}
	if err = p.hub.config.Limits.checkFrame(wire.FramedBytes(payload)); err != nil { // the clients load it
		payload = wire.ResyncPayload(ch.Group, wire.ReasonSize)
	}
	return payload, err
}

// encodeForAll encodes a resync for all groups that match its pattern.
func (p *publication) encodeForAll(ch *wire.Change) error {
	if p.hub.conns.IsClosed() {
		return ErrClosed
	}
	object, err := wire.EncodeValue(ch.Object)
	if err != nil {
		return fmt.Errorf("object of a resync of %s: %w", ch.Group, err)
	}
	messages, err := p.hub.upstream.ResyncAll(ch.Group, object)
	p.batch = append(p.batch, messages...)
	return err
}

// encodeStored encodes a change for PublishBatches, in any process. A change that cannot be
// encoded becomes a resync of its group.
func (h *Hub) encodeStored(ch *wire.Change) broker.Message {
	if ch.HasPattern() {
		object, _ := wire.EncodeValue(ch.Object) // that of a resync always encodes
		return broker.Message{Stream: ch.Group, Payload: object}
	}
	payload, err := ch.Encode()
	if err == nil {
		err = h.config.Limits.checkFrame(wire.FramedBytes(payload))
	}
	if err != nil {
		h.counters.skipped.Add(1)
		h.log.Error("rohrpost: a change is stored as a resync", "group", ch.Group, "error", err)
		payload = wire.ResyncPayload(ch.Group, wire.ReasonSize)
	}
	return broker.Message{Stream: ch.Stream(), Payload: payload}
}
