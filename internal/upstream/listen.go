package upstream

import (
	"context"
	"errors"
	mathrand "math/rand/v2"
	"time"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/tasks"
)

const (
	// checkInterval is the time between two checks of the positions, give or take a
	// fifth. The hub finds a lost last message within it.
	checkInterval = 8 * time.Second

	// maxChecked is the number of positions that one call of the broker asks for.
	maxChecked = 500
)

// listen lets the broker deliver, again and again.
func (r *remote) listen(ctx context.Context) {
	for failures := 0; ; failures++ {
		began := time.Now()
		err := r.Broker.Run(ctx, r.ready, r.deliver)
		if ctx.Err() != nil {
			return
		}
		r.orders.end()
		r.Logger.Error("rohrpost: listen to the broker", "error", err)
		if time.Since(began) > time.Minute {
			failures = 0
		}
		tasks.Pause(ctx, tasks.Backoff(failures))
	}
}

// ready looks for what may have been lost before the broker listened: first for orders,
// then, in comparing positions, for messages.
func (r *remote) ready() {
	r.health.answer()
	r.follower.wake()
	r.orders.listen()
}

// askForCheck makes the hub compare positions now.
func (r *remote) askForCheck() {
	select {
	case r.check <- struct{}{}:
	default:
	}
}

// deliver hands on what the broker delivers.
func (r *remote) deliver(batch []broker.Message) {
	r.health.answer()
	messages := make([]broker.Message, 0, len(batch))
	for i := range batch {
		switch m := &batch[i]; {
		case m.Stream == orderStream:
			r.orders.receive(m)
		case isOwn(m.Stream):
			// of a later version
		case r.orders.isPaused():
			// It is found missing later.
		case m.Epoch == "":
			r.signal(m)
		default:
			if decoded, ok := r.decode(m); ok {
				messages = append(messages, decoded)
			}
		}
	}
	if len(messages) > 0 {
		r.Receiver.Deliver(messages)
		r.Receiver.Start() // the broker may hold locks
	}
}

// decoded returns messages for groups as the Receiver gets them. It does not change
// batch, which several hubs may share.
func (r *remote) decoded(batch []broker.Message) []broker.Message {
	messages := make([]broker.Message, 0, len(batch))
	for i := range batch {
		if m, ok := r.decode(&batch[i]); ok {
			messages = append(messages, m)
		}
	}
	return messages
}

// decode returns a message as the Receiver gets it. In place of one that the hub cannot
// read, the group gets a resync.
func (r *remote) decode(given *broker.Message) (m broker.Message, ok bool) {
	m = *given
	payload, err := r.codec.decode(m.Stream, m.Payload)
	if m.Payload = payload; err == nil && len(given.Payload) > 0 {
		err = r.Receiver.Check(&m)
	}
	if err == nil {
		return m, true
	}
	r.countUnread(given, err)
	resync, err := r.Receiver.Resync(m.Stream, r.Unread)
	m.Payload = resync.Payload
	return m, err == nil
}

// signal hands on a message without a position.
func (r *remote) signal(given *broker.Message) {
	m := *given
	payload, err := r.codec.decode(m.Stream, m.Payload)
	if m.Payload = payload; err == nil {
		err = r.Receiver.Check(&m)
	}
	if err != nil {
		r.countUnread(given, err)
		return
	}
	r.Receiver.Signal(m.Stream, r.Frame(payload))
	r.Receiver.Start()
}

// checkPeriodically compares the positions of the groups with those of the broker.
func (r *remote) checkPeriodically(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-r.check:
		case <-time.After(checkInterval*4/5 + mathrand.N(checkInterval*2/5)):
		case <-ctx.Done():
			return
		}
		if err := r.checkPositions(ctx); err != nil && ctx.Err() == nil {
			r.Logger.Error("rohrpost: ask the broker for positions", "error", err)
		}
	}
}

var errPositions = errors.New("another number of positions than asked for")

func (r *remote) checkPositions(ctx context.Context) error {
	before := r.Receiver.Positions()
	names := make([]string, 0, len(before)+1)
	orders, paused := r.orders.position()
	if !paused && orders.Epoch != "" {
		names = append(names, orderStream)
	}
	for name := range before {
		names = append(names, name)
	}
	for len(names) > 0 {
		some := names[:min(len(names), maxChecked)]
		names = names[len(some):]
		positions, err := ask(ctx, r, brokerTimeout, func(ctx context.Context) ([]broker.Position, error) { return r.Broker.Positions(ctx, some) })
		if err == nil && len(positions) != len(some) {
			err = errPositions
		}
		if err != nil {
			return err
		}
		for i, name := range some {
			compare := func(at broker.Position) { r.Receiver.Compare(name, before[name], at) }
			if name == orderStream {
				compare = func(at broker.Position) { r.orders.compare(orders, at) }
			}
			r.comparePosition(name, positions[i], compare)
		}
	}
	return nil
}

// comparePosition compares the position of a stream that the hub follows. A stream that
// has ended, since the engine has lost it, begins again.
func (r *remote) comparePosition(name string, at broker.Position, compare func(at broker.Position)) {
	if at.Epoch != "" {
		compare(at)
		return
	}
	r.follower.again(name, compare)
}
