package natsbroker

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"

	"github.com/rohrpost/rohrpost/broker"
)

// maxWaiting is the number of messages that wait to be delivered. The hub reads what is
// dropped above it.
const maxWaiting = 1 << 15

var (
	errRunning      = errors.New("natsbroker: this Broker serves a hub already: make one for each hub")
	errDisconnected = errors.New("the connection to the server has ended")
	errRenewed      = errors.New("natsbroker: the server may have lost messages: all groups begin anew")
)

// listener gets what is published while Run is running.
type listener struct {
	published chan *nats.Msg
	streams   map[string]*nats.Subscription
	ends      *nats.Subscription
}

// Run implements broker.Broker. What JetStream has taken it publishes; what is lost on this
// way the hub reads.
func (b *Broker) Run(ctx context.Context, ready func(), deliver func(batch []broker.Message)) error {
	// What is told from here on ends Run, so that none of it is missed.
	lost := b.nc.StatusChanged(nats.DISCONNECTED, nats.RECONNECTING, nats.CLOSED)
	defer b.nc.RemoveStatusListener(lost)
	era, err := b.begin(ctx)
	if err != nil {
		return err
	}
	defer b.stop()
	r := &receiver{broker: b, era: era, deliver: deliver}
	ready()
	published := b.published()
	for {
		select {
		case m := <-published:
			if err := r.receive(m); err != nil {
				b.forgetEra()
				return err
			}
		case <-lost:
			return fmt.Errorf("natsbroker: listen: %w", errDisconnected)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// begin subscribes to all that is followed.
func (b *Broker) begin(ctx context.Context) (era string, err error) {
	b.forgetEra() // another hub may have renewed the epochs since
	if err := b.listen(); err != nil {
		return "", fmt.Errorf("natsbroker: listen: %w", err)
	}
	err = b.call(ctx, "listen", func(ctx context.Context) (err error) {
		if err = b.nc.FlushWithContext(ctx); err == nil {
			era, err = b.current(ctx)
		}
		return err
	})
	if err != nil {
		b.stop()
	}
	return era, err
}

func (b *Broker) listen() (err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.listener != nil {
		return errRunning
	}
	l := &listener{published: make(chan *nats.Msg, maxWaiting), streams: make(map[string]*nats.Subscription)}
	if l.ends, err = b.nc.ChanSubscribe(b.subjects.ends("*"), l.published); err != nil {
		return err
	}
	b.listener = l
	for stream := range b.followed {
		if err := b.subscribeLocked(stream); err != nil {
			b.stopLocked()
			return err
		}
	}
	return nil
}

func (b *Broker) published() <-chan *nats.Msg {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.listener.published
}

func (b *Broker) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopLocked()
}

func (b *Broker) stopLocked() {
	_ = b.listener.ends.Unsubscribe() // fails only if the connection is closed
	for _, s := range b.listener.streams {
		_ = s.Unsubscribe()
	}
	b.listener = nil
}

func (b *Broker) subscribeLocked(stream string) error {
	if b.listener.streams[stream] != nil {
		return nil
	}
	s, err := b.nc.ChanSubscribe(b.subjects.live("*", stream), b.listener.published)
	if err != nil {
		return err
	}
	b.listener.streams[stream] = s
	return nil
}

// subscribe returns when the server has confirmed.
func (b *Broker) subscribe(ctx context.Context, streams []string) error {
	if err := b.follow(streams); err != nil {
		return err
	}
	return b.nc.FlushWithContext(ctx)
}

func (b *Broker) follow(streams []string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, stream := range streams {
		b.followed[stream] = true
	}
	if b.listener == nil {
		return nil
	}
	for _, stream := range streams {
		if err := b.subscribeLocked(stream); err != nil {
			return err
		}
	}
	return nil
}

func (b *Broker) follows(stream string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.followed[stream]
}

// Unfollow implements broker.Broker. It does not wait for the server.
func (b *Broker) Unfollow(_ context.Context, streams []string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, stream := range streams {
		delete(b.followed, stream)
		if b.listener != nil && b.listener.streams[stream] != nil {
			_ = b.listener.streams[stream].Unsubscribe() // fails only if the connection is closed
			delete(b.listener.streams, stream)
		}
	}
	return nil
}

// Signal implements broker.Signaler.
func (b *Broker) Signal(_ context.Context, messages []broker.Message) error {
	if !b.nc.IsConnected() {
		return fmt.Errorf("natsbroker: signal: %w", b.notConnected())
	}
	var failed []error // one that is too large keeps back no other
	for i := range messages {
		failed = append(failed, b.nc.Publish(b.subjects.live(signalEra, messages[i].Stream), messages[i].Payload))
	}
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("natsbroker: signal: %w", err)
	}
	return nil
}

// receiver makes batches of what is published. JetStream publishes the messages of some
// batches, and then the number of their source, without anything in between.
type receiver struct {
	broker  *Broker
	era     string
	deliver func(batch []broker.Message)

	id, place string // of the batch that has come in part
	batch     []broker.Message
}

// receive takes what was published. The error ends Run.
func (r *receiver) receive(m *nats.Msg) error {
	era, kind, key, ok := r.broker.subjects.parseLive(m.Subject)
	switch {
	case !ok:
		return nil // of a later version
	case era == signalEra:
		r.flush()
		if r.broker.follows(key) {
			r.deliver([]broker.Message{{Stream: key, Payload: m.Data}})
		}
		return nil
	case era != r.era:
		return errRenewed
	case kind != "m":
		r.flush()
		return nil
	}
	message, err := r.parse(key, m)
	if err != nil || begins(m) {
		return nil // what is not of JetStream is ignored
	}
	id, place := m.Header.Get(headerID), m.Header.Get(headerBatch)
	if id != r.id || place != r.place {
		r.flush()
	}
	r.id, r.place = id, place
	if r.broker.follows(key) {
		r.batch = append(r.batch, message)
	}
	if place == "" {
		r.flush() // a mark
	}
	return nil
}

func (r *receiver) parse(stream string, m *nats.Msg) (broker.Message, error) {
	offset, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
	if err != nil {
		return broker.Message{}, errors.Join(errAnswer, err)
	}
	prev, err := strconv.ParseUint(m.Header.Get("Nats-Last-Sequence"), 10, 64)
	if err != nil {
		return broker.Message{}, errors.Join(errAnswer, err)
	}
	if prev == 0 {
		prev = unknownPrev(offset)
	}
	return broker.Message{Stream: stream, Payload: m.Data, Position: broker.Position{Epoch: epoch(r.era, stream), Offset: offset}, Prev: prev}, nil
}

// flush delivers the batch that has come.
func (r *receiver) flush() {
	if len(r.batch) > 0 {
		r.deliver(r.batch)
	}
	r.id, r.place, r.batch = "", "", nil
}
