package brokertest_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rohrpost/rohrpost/broker"
)

// maxPayload is the size of the largest payload that a simple broker takes.
const maxPayload = 1 << 20

var (
	_ broker.Signaler = (*simple)(nil)
	_ broker.Limiter  = (*simple)(nil)
)

// store holds the streams that several simple brokers share, and their defect.
type store struct {
	defect string // a key of defects, or "" for none

	mu      sync.Mutex // guards the fields below, and those of the streams and brokers
	streams map[string]*stream
	taken   map[string]uint64
	last    uint64 // the last offset of all streams: each stream skips those of the others
	hubs    []*simple
	began   time.Time // when the epochs have begun, zero: no other ones were before
}

type stream struct {
	broker.Position
	messages []broker.Message
}

// simple is a minimal implementation of the contract.
type simple struct {
	*store
	followed map[string]bool
	queue    [][]broker.Message // batches that Run will deliver
	wake     chan struct{}
	ran      bool // Run was called
}

func newStore(defect string) *store {
	return &store{defect: defect, streams: map[string]*stream{}, taken: map[string]uint64{}}
}

func newSimple(s *store) *simple {
	b := &simple{store: s, followed: map[string]bool{}, wake: make(chan struct{}, 1)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hubs = append(s.hubs, b)
	return b
}

func (b *simple) has(defect string) bool { return b.defect == defect }

func (b *simple) Run(ctx context.Context, ready func(), deliver func([]broker.Message)) error {
	if b.has("panics") {
		panic("a defect")
	}
	b.mu.Lock()
	b.ran = true
	b.mu.Unlock()
	if !b.has("is never ready") {
		ready()
	}
	if b.has("is ready twice") {
		ready()
	}
	if b.has("is ready before it listens") {
		time.Sleep(20 * time.Millisecond)
		b.mu.Lock()
		b.queue = nil
		b.mu.Unlock()
	}
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

func (b *simple) Publish(_ context.Context, batches []broker.Batch) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.has("publishes only in Run") && !b.ran {
		return errors.New("Run was not called")
	}
	for i := range batches {
		if err := b.take(&batches[i]); err != nil {
			return err
		}
	}
	return nil
}

// name returns the name under which the number of a source is kept.
func (b *simple) name(source string) string {
	if b.has("numbers each hub") {
		return source + fmt.Sprintf("%p", b)
	}
	if b.has("has one numbering") {
		return ""
	}
	return source
}

// take appends a batch.
func (b *simple) take(batch *broker.Batch) error {
	source := b.name(batch.Source)
	switch {
	case batch.Number <= b.taken[source] && !b.has("takes a number again"):
		return nil
	case b.has("refuses to skip numbers") && batch.Number != b.taken[source]+1:
		return errors.New("a number is missing")
	}
	if _, tried := broker.Untried([]broker.Batch{*batch}, b.began); tried != nil && !b.has("takes a batch again after a restore") {
		return tried
	}
	if err := b.refuses(batch); err != nil {
		return err
	}
	b.taken[source] = max(batch.Number, b.taken[source])
	var appended []broker.Message
	for i, m := range batch.Messages {
		if m, ok := b.append(m); ok {
			appended = append(appended, m)
			if b.has("changes the messages of the caller") {
				batch.Messages[i] = m
			}
		}
	}
	b.deliver(appended)
	return nil
}

// refuses returns an error for a batch with a message that is too large.
func (b *simple) refuses(batch *broker.Batch) error {
	for _, m := range batch.Messages {
		if len(m.Payload) <= maxPayload {
			if b.has("takes a part of a refused batch") && len(batch.Messages) == 2 && len(batch.Messages[1].Payload) > maxPayload {
				m, _ := b.append(m)
				b.deliver([]broker.Message{m})
			}
			continue
		}
		if b.has("counts a refused batch") {
			b.taken[b.name(batch.Source)] = batch.Number
		}
		if b.has("does not name the refused batch") {
			return broker.ErrRefused
		}
		return &broker.RefusedError{Source: batch.Source, Number: batch.Number, Err: errors.New("too large")}
	}
	return nil
}

func (b *simple) deliver(messages []broker.Message) {
	for _, hub := range b.hubs {
		if hub == b || !b.has("delivers to one hub") {
			hub.enqueue(messages)
		}
	}
}

// append appends a message to its stream, and reports whether to deliver it.
func (b *simple) append(m broker.Message) (broker.Message, bool) {
	s := b.streams[m.Stream]
	if s == nil {
		return m, false
	}
	if b.has("drops empty messages") && len(m.Payload) == 0 {
		return m, false
	}
	m.Epoch, m.Prev = s.Epoch, s.Offset
	if b.last++; b.has("repeats an offset") && b.last%5 == 0 {
		b.last--
	}
	s.Offset = b.last
	m.Offset = s.Offset
	if b.has("takes offsets for a chain") {
		m.Prev = m.Offset - 1
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
	return m, true
}

// enqueue queues the messages of the streams that the hub follows.
func (b *simple) enqueue(batch []broker.Message) {
	var messages []broker.Message
	for _, m := range batch {
		if b.followed[m.Stream] || b.has("delivers unfollowed streams") && m.Stream != "unknown" {
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

func (b *simple) Taken(_ context.Context, source string) (uint64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.has("forgets what it has taken") {
		return 0, nil
	}
	if b.has("Taken does not return") {
		select {}
	}
	return b.taken[b.name(source)], nil
}

func (b *simple) Signal(_ context.Context, messages []broker.Message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.has("keeps signals") {
		for i := range messages {
			messages[i], _ = b.append(messages[i])
		}
	}
	b.deliver(slices.Clone(messages))
	return nil
}

func (b *simple) Limits() broker.Limits { return broker.Limits{PayloadBytes: maxPayload} }

func (b *simple) Follow(_ context.Context, keys []string) ([]broker.Position, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var positions []broker.Position
	for _, key := range keys {
		positions = append(positions, b.follow(key))
	}
	if b.has("returns no positions") {
		return nil, nil
	}
	return positions, nil
}

func (b *simple) follow(key string) broker.Position {
	b.followed[key] = true
	if b.streams[key] == nil {
		b.streams[key] = &stream{Position: broker.Position{Epoch: rand.Text()}}
		if b.has("begins each stream with the same epoch") {
			b.streams[key].Epoch = "1"
		}
	}
	s := b.streams[key]
	if b.has("returns an old position") && len(s.messages) > 0 {
		return broker.Position{Epoch: s.Epoch, Offset: s.messages[len(s.messages)-1].Prev}
	}
	return s.Position
}

func (b *simple) Unfollow(_ context.Context, keys []string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	hubs := []*simple{b}
	if b.has("unfollows for all hubs") {
		hubs = b.hubs
	}
	for _, hub := range hubs {
		for _, key := range keys {
			if !b.has("ignores Unfollow") {
				delete(hub.followed, key)
			}
			if b.has("ends a stream with Unfollow") {
				delete(b.streams, key)
			}
		}
	}
	return nil
}

func (b *simple) Read(_ context.Context, key string, after uint64, limit int) (broker.History, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.streams[key]
	if s == nil {
		if b.has("begins a stream with Read") {
			b.streams[key] = &stream{Position: broker.Position{Epoch: rand.Text()}}
		}
		return broker.History{}, nil
	}
	if b.has("Read includes the offset") {
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
	case b.has("Read ignores the limit"):
	case b.has("Read omits the oldest above the limit"):
		found = found[len(found)-limit:]
	default:
		found = found[:limit]
	}
	if b.has("Read returns the newest first") {
		slices.Reverse(found)
	}
	return broker.History{Position: s.Position, Messages: found}, nil
}

func (b *simple) Positions(_ context.Context, keys []string) ([]broker.Position, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var positions []broker.Position
	for _, key := range keys {
		if s := b.streams[key]; s != nil {
			positions = append(positions, s.Position)
		} else if !b.has("Positions leaves out unknown streams") {
			positions = append(positions, broker.Position{})
		}
	}
	return positions, nil
}

// endStream ends a stream that no hub follows.
func (b *simple) endStream(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.has("keeps the epoch of a stream that ends") {
		b.streams[key].messages = nil
		return
	}
	delete(b.streams, key)
}

// restore goes back to the state before meanwhile.
func (b *simple) restore(meanwhile func()) {
	b.mu.Lock()
	before := map[string]stream{}
	for key, s := range b.streams {
		before[key] = stream{s.Position, slices.Clone(s.messages)}
	}
	b.mu.Unlock()
	meanwhile()
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.streams)
	clear(b.taken)
	b.began = time.Now()
	if b.has("refuses all batches that were tried") {
		b.began = b.began.AddDate(1, 0, 0)
	}
	if b.has("keeps its epochs after a restore") {
		for key, s := range before {
			b.streams[key] = &s
		}
	}
}
