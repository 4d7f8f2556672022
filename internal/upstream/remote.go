package upstream

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/tasks"
)

const (
	// controlStream carries what hubs tell each other. It is not a group name.
	controlStream = "!control"

	// checkInterval is the time between two checks of the positions, give or take a
	// fifth. The hub finds a lost last message within it.
	checkInterval = 8 * time.Second

	// maxChecked is the number of positions that one call of the broker asks for.
	maxChecked = 500

	// brokerTimeout is the time that a broker has for one answer.
	brokerTimeout = 5 * time.Second
)

// Config configures the Upstream of a hub with a broker. All fields are required.
type Config struct {
	Broker   broker.Broker
	Receiver Receiver
	Logger   *slog.Logger
	Tasks    *tasks.Group
	Frame    func(group string, payload []byte, offset uint64) []byte
	Skipped  *atomic.Uint64 // counts messages of the broker that Receiver.Check refuses

	AnyGroup string          // the pattern that matches all groups
	Overflow json.RawMessage // the object of a resync for messages that the queue has dropped
}

// remote is the Upstream of a hub with a broker, which may be slow or away, or lose
// messages. It starts with the first message or the first group.
type remote struct {
	Config
	begin sync.Once
	queue publishQueue
	check chan struct{} // asks for a check of the positions
	name  string        // of this hub, so that it does not obey its own orders
}

// control is what hubs tell each other.
type control struct {
	Resync string          `json:"resync,omitempty"` // the pattern of the groups that load their snapshot again
	Object json.RawMessage `json:"object,omitempty"`
	Order  *Order          `json:"order,omitempty"`
	From   string          `json:"from,omitempty"` // the hub that orders
}

// New returns the Upstream of a hub with a broker. It starts nothing.
func New(c Config) Upstream {
	c.Broker = guarded{c.Broker}
	r := &remote{Config: c, check: make(chan struct{}, 1), name: rand.Text()}
	r.queue.init(r)
	return r
}

func (r *remote) start() {
	r.begin.Do(func() {
		r.Tasks.Go(r.listen)
		r.Tasks.Go(r.checkPeriodically)
	})
}

func (r *remote) Publish(batch []broker.Message) error {
	if len(batch) == 0 {
		return nil
	}
	for i := range batch {
		if batch[i].ID == "" {
			batch[i].ID = rand.Text()
		}
	}
	r.start()
	r.queue.add(brokerCall{batch: batch})
	return nil
}

func (r *remote) ResyncAll(pattern string, object json.RawMessage) ([]broker.Message, error) {
	payload, err := json.Marshal(control{Resync: pattern, Object: object})
	return []broker.Message{{Stream: controlStream, ID: rand.Text(), Payload: payload, Plain: true}}, err
}

// Order publishes a control message.
func (r *remote) Order(ctx context.Context, o Order) error {
	payload, err := json.Marshal(control{Order: &o, From: r.name})
	if err != nil {
		return err
	}
	r.start()
	return r.Broker.Publish(ctx, []broker.Message{{Stream: controlStream, ID: rand.Text(), Payload: payload, Plain: true}})
}

func (r *remote) Shared() bool { return true }

func (r *remote) HasHistory(string) bool { return true }

func (r *remote) Histories(func(string) bool) []string { return nil }

func (r *remote) Follow(group string, open func(at broker.Position) bool) {
	r.start()
	r.Tasks.Go(func(ctx context.Context) {
		r.retry(ctx, "subscribe to a stream", func(ctx context.Context) error {
			at, err := r.Broker.Subscribe(ctx, group)
			if err == nil && !open(at) {
				r.Unfollow(group)
			}
			return err
		})
	})
}

func (r *remote) Unfollow(group string) { r.queue.add(brokerCall{unsubscribe: group}) }

func (r *remote) History(ctx context.Context, group string, after uint64, limit int) (broker.History, error) {
	h, err := r.Broker.History(ctx, group, after, limit)
	if err != nil {
		return h, err
	}
	h.Messages = r.framed(h.Messages)
	return h, nil
}

func (r *remote) Position(ctx context.Context, group string) (broker.Position, error) {
	at, err := r.Broker.Subscribe(ctx, group)
	if err == nil {
		err = r.Broker.Unsubscribe(ctx, group)
	}
	return at, err
}

func (r *remote) Flush(ctx context.Context) { r.queue.flush(ctx) }

func (r *remote) Close() {}

// listen lets the broker deliver, again and again.
func (r *remote) listen(ctx context.Context) {
	for failures := 0; ; failures++ {
		began := time.Now()
		err := r.Broker.Run(ctx, r.deliver)
		if ctx.Err() != nil {
			return
		}
		r.Logger.Error("rohrpost: listen to the broker", "error", err)
		if time.Since(began) > time.Minute {
			failures = 0
		}
		tasks.Pause(ctx, tasks.Backoff(failures))
		r.Receiver.Recheck(ctx) // an order may be lost
		select {
		case r.check <- struct{}{}:
		default:
		}
	}
}

// deliver hands on what the broker delivers.
func (r *remote) deliver(batch []broker.Message) {
	for i := range batch {
		if batch[i].Stream == controlStream {
			r.handleControl(&batch[i])
		}
	}
	if messages := r.framed(batch); len(messages) > 0 {
		r.Receiver.Deliver(messages)
	}
}

// framed returns the messages for groups with frames as payloads. It does not change
// batch, which several hubs may share.
func (r *remote) framed(batch []broker.Message) []broker.Message {
	messages := make([]broker.Message, 0, len(batch))
	for _, m := range batch {
		if m.Stream == controlStream {
			continue
		}
		if err := r.Receiver.Check(&m); err != nil {
			r.Skipped.Add(1)
			r.Logger.Error("rohrpost: a message of the broker is not valid", "bytes", len(m.Payload), "error", err)
			continue
		}
		m.Payload = r.Frame(m.Stream, m.Payload, m.Offset)
		messages = append(messages, m)
	}
	return messages
}

// handleControl does what a hub tells all hubs. They all publish the same resyncs: the
// broker takes each once, by its ID.
func (r *remote) handleControl(m *broker.Message) {
	var c control
	if err := json.Unmarshal(m.Payload, &c); err != nil {
		return // of a later version
	}
	if c.Order != nil {
		if c.From != r.name {
			r.Tasks.Go(func(ctx context.Context) { r.Receiver.Obey(ctx, *c.Order) })
		}
		return
	}
	groups, err := r.Receiver.Matching(c.Resync)
	if err != nil {
		return // of a later version
	}
	batch, err := resyncs(r.Receiver, groups, c.Object)
	if err != nil {
		r.Logger.Error("rohrpost: publish a resync", "pattern", c.Resync, "error", err)
		return
	}
	for i := range batch {
		batch[i].ID = m.ID + ":" + batch[i].Stream
	}
	_ = r.Publish(batch) // it only queues
}

// checkPeriodically compares the positions of the groups with those of the broker.
func (r *remote) checkPeriodically(ctx context.Context) {
	r.retry(ctx, "subscribe to the control stream", func(ctx context.Context) error {
		_, err := r.Broker.Subscribe(ctx, controlStream)
		return err
	})
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
	names := make([]string, 0, len(before))
	for name := range before {
		names = append(names, name)
	}
	for len(names) > 0 {
		some := names[:min(len(names), maxChecked)]
		names = names[len(some):]
		asking, cancel := context.WithTimeout(ctx, brokerTimeout)
		positions, err := r.Broker.Positions(asking, some)
		cancel()
		if err == nil && len(positions) != len(some) {
			err = errPositions
		}
		if err != nil {
			return err
		}
		for i, name := range some {
			r.Receiver.Compare(name, before[name], positions[i])
		}
	}
	return nil
}

// retry repeats f until it succeeds, or ctx ends.
func (r *remote) retry(ctx context.Context, what string, f func(context.Context) error) {
	for failures := 0; ctx.Err() == nil; failures++ {
		trying, cancel := context.WithTimeout(ctx, brokerTimeout)
		err := f(trying)
		cancel()
		if err == nil {
			return
		}
		if failures == 0 && ctx.Err() == nil {
			r.Logger.Error("rohrpost: "+what, "error", err)
		}
		tasks.Pause(ctx, tasks.Backoff(failures))
	}
}
