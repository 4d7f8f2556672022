package brokertest_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"sync"

	"github.com/rohrpost/rohrpost/broker"
)

var _ broker.Broker = (*simple)(nil)

// store holds the streams that several simple brokers share, and their defect.
type store struct {
	defect string // a key of defects, "keeps nothing", or "" for none

	mu      sync.Mutex // guards the fields below, and those of the streams and brokers
	streams map[string]*stream
	hubs    []*simple
}

type stream struct {
	broker.Position
	messages []broker.Message
}

// simple is a minimal implementation of the contract.
type simple struct {
	*store
	subscribed map[string]int
	queue      [][]broker.Message // batches that Run will deliver
	wake       chan struct{}
}

func newSimple(s *store) *simple {
	b := &simple{store: s, subscribed: map[string]int{}, wake: make(chan struct{}, 1)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hubs = append(s.hubs, b)
	return b
}

func (b *simple) has(defect string) bool { return b.defect == defect }

func (b *simple) Run(ctx context.Context, deliver func([]broker.Message)) error {
	for {
		select {
		case <-ctx.Done():
			if b.has("Run returns nil") {
				return nil
			}
			return ctx.Err()
		case <-b.wake:
		}
		b.mu.Lock()
		batches := b.queue
		b.queue = nil
		b.mu.Unlock()
		if b.has("merges batches") && len(batches) > 1 {
			batches = [][]broker.Message{slices.Concat(batches...)}
		}
		var all sync.WaitGroup
		for _, batch := range batches {
			if b.has("delivers concurrently") {
				all.Go(func() { deliver(batch) })
				continue
			}
			if b.has("splits batches") && len(batch) > 1 {
				deliver(batch[:1])
				batch = batch[1:]
			}
			deliver(batch)
		}
		all.Wait()
	}
}

func (b *simple) Publish(_ context.Context, batch []broker.Message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var appended []broker.Message
	for _, m := range batch {
		m, ok, err := b.append(m)
		if err != nil {
			return err
		}
		if ok {
			appended = append(appended, m)
		}
	}
	if b.has("changes the batch of the caller") {
		copy(batch, appended)
	}
	for _, hub := range b.hubs {
		hub.enqueue(appended)
	}
	return nil
}

// append appends a message to its stream, and reports whether to deliver it.
func (b *simple) append(m broker.Message) (broker.Message, bool, error) {
	s := b.streams[m.Stream]
	if m.Plain && !b.has("gives offsets to plain messages") {
		return m, true, nil
	}
	if s == nil {
		return m, false, nil
	}
	if m.ID != "" && !b.has("ignores IDs") && slices.ContainsFunc(s.messages, func(kept broker.Message) bool { return kept.ID == m.ID }) {
		return m, b.has("delivers a duplicate"), nil
	}
	switch {
	case m.Epoch == "":
		m.Epoch, m.Offset = s.Epoch, s.Offset+1
	case m.Epoch != s.Epoch:
		if !b.has("keeps messages of another epoch") {
			s.messages = nil
		}
		s.Epoch = m.Epoch
	case m.Offset <= s.Offset && !b.has("appends an old offset"):
		return m, false, nil
	case m.Offset > s.Offset+1 && !b.has("accepts a hole"):
		return m, false, errors.New("the offset leaves a hole")
	}
	s.Offset = m.Offset
	if b.has("skips an offset") && s.Offset%5 == 0 {
		s.Offset++
	}
	if b.has("drops bytes that are not UTF-8") {
		m.Payload = bytes.ToValidUTF8(m.Payload, nil)
	}
	s.messages = append(s.messages, m)
	if keep := 300; len(s.messages) > keep {
		s.messages = s.messages[len(s.messages)-keep:]
	}
	if b.has("drops messages in the middle") && len(s.messages) > 10 {
		s.messages = slices.Delete(s.messages, 5, 6)
	}
	return m, true, nil
}

// enqueue queues the messages to whose streams the hub is subscribed.
func (b *simple) enqueue(batch []broker.Message) {
	var messages []broker.Message
	for _, m := range batch {
		if b.subscribed[m.Stream] > 0 || b.has("delivers unsubscribed streams") && m.Stream != "unknown" {
			messages = append(messages, m)
		}
	}
	if b.has("reorders a batch") {
		slices.Reverse(messages)
	}
	if len(messages) == 0 {
		return
	}
	b.queue = append(b.queue, messages)
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *simple) Subscribe(_ context.Context, key string) (broker.Position, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.subscribed[key]++; b.has("does not count Subscribe") {
		b.subscribed[key] = 1
	}
	if b.streams[key] == nil {
		b.streams[key] = &stream{Position: broker.Position{Epoch: rand.Text()}}
		if b.has("begins each stream with the same epoch") {
			b.streams[key].Epoch = "1"
		}
		if b.has("begins with offset 1") {
			b.streams[key].Offset = 1
		}
	}
	if b.has("keeps nothing") {
		return broker.Position{}, nil
	}
	s := b.streams[key]
	if b.has("returns an old position") {
		return broker.Position{Epoch: s.Epoch, Offset: max(s.Offset, 1) - 1}, nil
	}
	return s.Position, nil
}

func (b *simple) Unsubscribe(_ context.Context, key string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.has("unsubscribes all hubs") {
		for _, hub := range b.hubs {
			hub.subscribed[key] = 0
		}
		return nil
	}
	if !b.has("ignores Unsubscribe") {
		b.subscribed[key]--
	}
	return nil
}

func (b *simple) History(_ context.Context, key string, after uint64, limit int) (broker.History, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.streams[key]
	if s == nil || b.has("keeps nothing") {
		return broker.History{}, nil
	}
	if b.has("History includes the offset") {
		after = max(after, 1) - 1
	}
	var found []broker.Message
	for _, m := range s.messages {
		if m.Offset > after {
			found = append(found, m)
		}
	}
	switch {
	case len(found) <= limit:
	case b.has("History ignores the limit"):
	case b.has("History omits the oldest above the limit"):
		found = found[len(found)-limit:]
	default:
		found = found[:limit]
	}
	if b.has("History returns the newest first") {
		slices.Reverse(found)
	}
	return broker.History{Position: s.Position, Messages: found}, nil
}

func (b *simple) Positions(_ context.Context, keys []string) ([]broker.Position, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var positions []broker.Position
	for _, key := range keys {
		s := b.streams[key]
		switch {
		case s != nil && !b.has("keeps nothing"):
			positions = append(positions, s.Position)
		case !b.has("Positions leaves out unknown streams"):
			positions = append(positions, broker.Position{})
		}
	}
	return positions, nil
}

// endStream ends a stream without subscribers.
func (b *simple) endStream(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.has("keeps the epoch of a stream that ends") {
		b.streams[key].Offset = 0
		return
	}
	delete(b.streams, key)
}
