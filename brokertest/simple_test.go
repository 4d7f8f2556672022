package brokertest_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"sync"

	"github.com/rohrpost/rohrpost/brokertest"
)

type message = brokertest.Message

// store is what simple brokers share. wrong names the clause that they do not
// keep, see variants.
type store struct {
	wrong string
	mu    sync.Mutex
	at    map[string]*stream
	hubs  []*simple
}

type stream struct {
	epoch    string
	offset   uint64
	messages []message
}

// simple is the simplest broker that keeps the contract.
type simple struct {
	*store
	subscribed map[string]int
	waiting    [][]message
	wake       chan struct{}
}

func newSimple(s *store) *simple {
	b := &simple{store: s, subscribed: map[string]int{}, wake: make(chan struct{}, 1)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hubs = append(s.hubs, b)
	return b
}

func (b *simple) is(wrong string) bool { return b.wrong == wrong }

func (b *simple) Run(ctx context.Context, deliver func([]message)) error {
	for {
		select {
		case <-ctx.Done():
			if b.is("Run hides why it ended") {
				return nil
			}
			return ctx.Err()
		case <-b.wake:
		}
		b.mu.Lock()
		batches := b.waiting
		b.waiting = nil
		b.mu.Unlock()
		if b.is("merges batches") && len(batches) > 1 {
			batches = [][]message{slices.Concat(batches...)}
		}
		var all sync.WaitGroup
		for _, batch := range batches {
			if b.is("delivers concurrently") {
				all.Go(func() { deliver(batch) })
				continue
			}
			if b.is("splits batches") && len(batch) > 1 {
				deliver(batch[:1])
				batch = batch[1:]
			}
			deliver(batch)
		}
		all.Wait()
	}
}

func (b *simple) Publish(_ context.Context, batch []message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var appended []message
	for _, m := range batch {
		m, ok, err := b.add(m)
		if err != nil {
			return err
		}
		if ok {
			appended = append(appended, m)
		}
	}
	if b.is("changes the batch of the caller") {
		copy(batch, appended)
	}
	for _, hub := range b.hubs {
		hub.hand(appended)
	}
	return nil
}

// add appends a message to its stream, and reports whether it is to be delivered.
func (b *simple) add(m message) (message, bool, error) {
	s := b.at[m.Stream]
	if m.Plain && !b.is("numbers plain messages") {
		return m, true, nil
	}
	if s == nil {
		return m, false, nil
	}
	if m.ID != "" && !b.is("forgets IDs") && slices.ContainsFunc(s.messages, func(kept message) bool { return kept.ID == m.ID }) {
		return m, b.is("delivers again what it has"), nil
	}
	switch {
	case m.Epoch == "":
		m.Epoch, m.Offset = s.epoch, s.offset+1
	case m.Epoch != s.epoch:
		if !b.is("keeps messages of another epoch") {
			s.messages = nil
		}
		s.epoch = m.Epoch
	case m.Offset <= s.offset && !b.is("appends an old offset"):
		return m, false, nil
	case m.Offset > s.offset+1 && !b.is("lets a hole be"):
		return m, false, errors.New("a hole")
	}
	s.offset = m.Offset
	if b.is("leaves a hole") && s.offset%5 == 0 {
		s.offset++
	}
	if b.is("loses binary payloads") {
		m.Payload = bytes.ToValidUTF8(m.Payload, nil)
	}
	s.messages = append(s.messages, m)
	if keep := 300; len(s.messages) > keep {
		s.messages = s.messages[len(s.messages)-keep:]
	}
	if b.is("trims the middle") && len(s.messages) > 10 {
		s.messages = slices.Delete(s.messages, 5, 6)
	}
	return m, true, nil
}

// hand puts what the hub is subscribed to into its queue.
func (b *simple) hand(batch []message) {
	var own []message
	for _, m := range batch {
		if b.subscribed[m.Stream] > 0 || b.is("delivers what nobody wants") && m.Stream != "nobody's" {
			own = append(own, m)
		}
	}
	if b.is("reorders a batch") {
		slices.Reverse(own)
	}
	if len(own) == 0 {
		return
	}
	b.waiting = append(b.waiting, own)
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *simple) Subscribe(_ context.Context, key string) (string, uint64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.subscribed[key]++; b.is("does not count Subscribe") {
		b.subscribed[key] = 1
	}
	if b.at[key] == nil {
		b.at[key] = &stream{epoch: rand.Text()}
		if b.is("begins with the same epoch") {
			b.at[key].epoch = "1"
		}
		if b.is("begins with offset 1") {
			b.at[key].offset = 1
		}
	}
	if b.is("keeps nothing") {
		return "", 0, nil
	}
	s := b.at[key]
	if b.is("returns an old position") {
		return s.epoch, max(s.offset, 1) - 1, nil
	}
	return s.epoch, s.offset, nil
}

func (b *simple) Unsubscribe(_ context.Context, key string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.is("unsubscribes all hubs") {
		for _, hub := range b.hubs {
			hub.subscribed[key] = 0
		}
		return nil
	}
	if !b.is("ignores Unsubscribe") {
		b.subscribed[key]--
	}
	return nil
}

func (b *simple) History(_ context.Context, key string, after uint64, limit int) (string, uint64, []message, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.at[key]
	if s == nil || b.is("keeps nothing") {
		return "", 0, nil, nil
	}
	if b.is("History includes the offset") {
		after = max(after, 1) - 1
	}
	var found []message
	for _, m := range s.messages {
		if m.Offset > after {
			found = append(found, m)
		}
	}
	switch {
	case len(found) <= limit:
	case b.is("History has no limit"):
	case b.is("History cuts the oldest"):
		found = found[len(found)-limit:]
	default:
		found = found[:limit]
	}
	if b.is("History goes backwards") {
		slices.Reverse(found)
	}
	return s.epoch, s.offset, found, nil
}

func (b *simple) Positions(_ context.Context, keys []string) (epochs []string, offsets []uint64, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, key := range keys {
		s := b.at[key]
		switch {
		case s != nil && !b.is("keeps nothing"):
			epochs, offsets = append(epochs, s.epoch), append(offsets, s.offset)
		case !b.is("Positions leaves out the unknown"):
			epochs, offsets = append(epochs, ""), append(offsets, 0)
		}
	}
	return epochs, offsets, nil
}

// end ends a stream that nobody is subscribed to.
func (b *simple) end(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.is("goes on when a stream ends") {
		b.at[key].offset = 0
		return
	}
	delete(b.at, key)
}
