package rohrpost

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	mathrand "math/rand/v2"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/rohrpost/rohrpost/internal/panics"
	"github.com/rohrpost/rohrpost/internal/tasks"
	"github.com/rohrpost/rohrpost/internal/wire"
)

const (
	// controlStream is for what hubs tell each other. It is no group name.
	controlStream = "!control"

	// checkEvery is the time between two checks of the positions, more or less a
	// fifth: a last message that is lost is found within it.
	checkEvery = 8 * time.Second

	// checkedAtOnce is how many positions are asked for at once.
	checkedAtOnce = 500
)

// remote is the hub's end of a broker that may be slow, away, or lose something. It
// starts with the first message or the first group.
type remote struct {
	hub   *Hub
	begin sync.Once
	lane  lane
	check chan struct{} // asks for a check of the positions
}

// order is what hubs tell each other.
type order struct {
	Resync string          `json:"resync"` // the pattern of groups that load their state again
	Object json.RawMessage `json:"object"`
}

func newRemote(h *Hub) *remote {
	r := &remote{hub: h, check: make(chan struct{}, 1)}
	r.lane.remote, r.lane.limit = r, maxLane
	return r
}

func (r *remote) start() {
	r.begin.Do(func() {
		r.hub.tasks.Go(r.listen)
		r.hub.tasks.Go(r.watch)
	})
}

// publish lets the lane carry messages.
func (r *remote) publish(batch []BrokerMessage) {
	for i := range batch {
		if batch[i].ID == "" {
			batch[i].ID = rand.Text()
		}
	}
	r.start()
	r.lane.add(errand{batch: batch})
}

// listen lets the broker deliver, again and again.
func (r *remote) listen(ctx context.Context) {
	for failures := 0; ; failures++ {
		began := time.Now()
		err := panics.Guard(func() error { return r.hub.broker.Run(ctx, r.hub.deliver) })
		if ctx.Err() != nil {
			return
		}
		r.hub.log.Error("listening to the broker", "error", err)
		if time.Since(began) > time.Minute {
			failures = 0
		}
		tasks.Pause(ctx, tasks.Backoff(failures))
		select {
		case r.check <- struct{}{}:
		default:
		}
	}
}

// watch compares the positions of the gates with those of the broker.
func (r *remote) watch(ctx context.Context) {
	r.insist(ctx, "subscribing to what hubs tell each other", func(ctx context.Context) error {
		_, _, err := r.hub.broker.Subscribe(ctx, controlStream)
		return err
	})
	for ctx.Err() == nil {
		select {
		case <-r.check:
		case <-time.After(checkEvery*4/5 + mathrand.N(checkEvery*2/5)):
		case <-ctx.Done():
			return
		}
		r.checkPositions(ctx)
	}
}

func (r *remote) checkPositions(ctx context.Context) {
	before := r.hub.groups.positions()
	names := make([]string, 0, len(before))
	for name := range before {
		names = append(names, name)
	}
	for len(names) > 0 {
		some := names[:min(len(names), checkedAtOnce)]
		names = names[len(some):]
		asking, cancel := context.WithTimeout(ctx, brokerTimeout)
		epochs, offsets, err := r.hub.broker.Positions(asking, some)
		cancel()
		if err != nil || len(epochs) != len(some) || len(offsets) != len(some) {
			if ctx.Err() == nil {
				r.hub.log.Error("asking the broker for positions", "error", err)
			}
			return
		}
		for i, name := range some {
			r.hub.groups.compare(name, before[name], Position{epochs[i], offsets[i]})
		}
	}
}

// insist repeats f until it succeeds, or ctx ends.
func (r *remote) insist(ctx context.Context, what string, f func(context.Context) error) {
	for failures := 0; ctx.Err() == nil; failures++ {
		trying, cancel := context.WithTimeout(ctx, brokerTimeout)
		err := panics.Guard(func() error { return f(trying) })
		cancel()
		if err == nil {
			return
		}
		if failures == 0 && ctx.Err() == nil {
			r.hub.log.Error(what, "error", err)
		}
		tasks.Pause(ctx, tasks.Backoff(failures))
	}
}

// tellAll makes the message that tells all hubs of a resync by pattern.
func (r *remote) tellAll(ch *wire.Change) BrokerMessage {
	object, _ := wire.EncodeValue(ch.Object) // without one it is a resync as well
	payload, _ := json.Marshal(order{Resync: ch.Group, Object: object})
	return BrokerMessage{Stream: controlStream, ID: rand.Text(), Payload: payload, Plain: true}
}

// told does what hubs are told. All of them publish the same: the broker takes it
// once.
func (r *remote) told(m *BrokerMessage) {
	var o order
	if err := json.Unmarshal(m.Payload, &o); err != nil {
		return // of another version
	}
	p, err := wire.ParsePattern(o.Resync)
	if err != nil {
		return
	}
	var batch []BrokerMessage
	for _, group := range r.hub.matching(p) {
		payload, err := (&wire.Change{Group: group, Type: wire.Resync, Object: o.Object}).Encode()
		if err != nil {
			return
		}
		batch = append(batch, BrokerMessage{Stream: group, ID: m.ID + ":" + group, Payload: payload})
	}
	if len(batch) > 0 {
		r.publish(batch)
	}
}

// accepts reports whether a message is one for connections: who writes to a broker
// may have made anything.
func (r *remote) accepts(m *BrokerMessage) bool {
	if m.Stream == controlStream {
		r.told(m)
		return false
	}
	p := m.Payload
	ok := wire.ValidGroup(m.Stream) && r.hub.fits(wire.FramedBytes(p)) == nil && utf8.Valid(p) && json.Valid(p) &&
		bytes.HasPrefix(p, []byte("{")) && bytes.HasSuffix(p, []byte("}")) &&
		(m.Offset == 0 || bytes.HasSuffix(p, []byte("}}")))
	if !ok {
		r.hub.counters.skipped.Add(1)
		r.hub.log.Error("a message from the broker is none of ours", "bytes", len(p))
	}
	return ok
}

// open opens the gate of a new group.
func (r *remote) open(gr *group) {
	r.start()
	r.hub.tasks.Go(func(ctx context.Context) {
		r.insist(ctx, "subscribing to a stream", func(ctx context.Context) error {
			return r.hub.openNow(ctx, gr)
		})
	})
}
