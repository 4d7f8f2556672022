package rohrpost

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rohrpost/rohrpost/internal/shards"
	"github.com/rohrpost/rohrpost/internal/wire"
)

var (
	errHole     = errors.New("the offset leaves a hole")
	errNoOffset = errors.New("an epoch without an offset")
)

var _ Broker = (*Memory)(nil)

// Memory is the Broker inside one process, and the default of a hub. Several hubs
// may share one. What it keeps is gone with the process: the epochs of the next
// one are others, so that nobody takes old positions for new ones. It starts no
// goroutine and needs no end. Make one with NewMemory.
type Memory struct {
	limits History
	off    bool                                       // keeps nothing and gives no positions
	seal   func(payload []byte, offset uint64) []byte // what is kept and delivered for a payload; nil: itself
	began  time.Time                                  // the clock of what is kept
	spread shards.Hash
	shards [shards.Count]memoryShard

	sweeping  atomic.Bool // a timer will sweep
	mu        sync.Mutex  // guards changes of what follows
	listeners atomic.Pointer[[]*listener]
	sweeper   *time.Timer
	closed    bool
}

type listener struct{ deliver func([]BrokerMessage) }

// memoryShard holds the streams whose keys have one hash.
type memoryShard struct {
	mu      sync.Mutex
	streams map[string]*stream
	bytes   int
	quiet   list.List // streams that keep something, the one that was quiet for longest first
	left    list.List // streams without subscribers, the one that was left first first
}

// NewMemory returns a Memory that keeps as much as h says.
func NewMemory(h History) *Memory {
	m := &Memory{limits: h.withDefaults(), began: time.Now(), spread: shards.New()}
	for i := range m.shards {
		m.shards[i].streams = make(map[string]*stream)
	}
	m.listeners.Store(&[]*listener{})
	return m
}

// Run implements Broker.
func (m *Memory) Run(ctx context.Context, deliver func(batch []BrokerMessage)) error {
	defer m.listen(deliver)()
	<-ctx.Done()
	return ctx.Err()
}

// listen delivers until stop is called.
func (m *Memory) listen(deliver func([]BrokerMessage)) (stop func()) {
	l := &listener{deliver}
	m.change(func(all []*listener) []*listener { return append(all, l) })
	return func() {
		m.change(func(all []*listener) []*listener {
			return slices.DeleteFunc(all, func(other *listener) bool { return other == l })
		})
	}
}

func (m *Memory) change(f func([]*listener) []*listener) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := f(slices.Clone(*m.listeners.Load()))
	m.listeners.Store(&all)
}

// Publish implements Broker. It does not wait, and delivers before it returns.
func (m *Memory) Publish(_ context.Context, batch []BrokerMessage) error {
	if len(batch) == 1 { // most commits change one row
		sh := m.shard(batch[0].Stream)
		sh.mu.Lock()
		defer sh.mu.Unlock()
	} else {
		var l shards.Locks
		for i := range batch {
			at := m.spread.Index(batch[i].Stream)
			l[at] = &m.shards[at].mu
		}
		l.Lock()
		defer l.Unlock()
	}
	var errs []error
	delivered := make([]BrokerMessage, 0, len(batch))
	for i := range batch {
		message, ok, err := m.append(&batch[i])
		if err != nil {
			errs = append(errs, fmt.Errorf("publish in stream %.250q: %w", batch[i].Stream, err))
		} else if ok {
			delivered = append(delivered, message)
		}
	}
	if len(delivered) > 0 {
		for _, l := range *m.listeners.Load() {
			l.deliver(delivered)
		}
	}
	return errors.Join(errs...)
}

// append appends a message to its stream, and reports whether it is to be
// delivered.
func (m *Memory) append(given *BrokerMessage) (message BrokerMessage, ok bool, err error) {
	message = *given
	sh := m.shard(message.Stream)
	s := sh.streams[message.Stream]
	if s == nil && !m.off {
		return message, false, nil // nobody has asked for it
	}
	if m.off || message.Plain {
		message.Epoch, message.Offset = "", 0
		message.Payload = m.sealed(message.Payload, 0)
		return message, true, nil
	}
	epoch := s.epoch
	if ok, err = s.next(&message); !ok {
		return message, false, err
	}
	if s.epoch != epoch {
		sh.bytes -= s.drop(len(s.kept))
	}
	s.offset++
	message.Epoch, message.Offset = s.epoch, s.offset
	message.Payload = m.sealed(message.Payload, s.offset)
	m.keep(sh, s, &message)
	return message, true, nil
}

func (m *Memory) sealed(payload []byte, offset uint64) []byte {
	if m.seal == nil {
		return payload
	}
	return m.seal(payload, offset)
}

// keep keeps a message, and lets go of what is too much.
func (m *Memory) keep(sh *memoryShard, s *stream, message *BrokerMessage) {
	now := m.now()
	s.kept = append(s.kept, kept{payload: message.Payload, id: message.ID, at: now})
	s.bytes += len(message.Payload)
	sh.bytes += len(message.Payload)
	if s.quiet == nil {
		s.quiet = sh.quiet.PushBack(s)
	} else {
		sh.quiet.MoveToBack(s.quiet)
	}
	sh.trim(s, s.excess(m.limits, now))
	for over(sh.bytes, shards.Share(m.limits.TotalBytes)) && sh.quiet.Len() > 0 {
		sh.trim(sh.quiet.Front().Value.(*stream), 1)
	}
	m.sweepLater()
}

// Subscribe implements Broker.
func (m *Memory) Subscribe(_ context.Context, key string) (epoch string, offset uint64, err error) {
	if m.off {
		return "", 0, nil
	}
	sh := m.shard(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s := sh.streams[key]
	if s == nil {
		s = newStream(key)
		sh.streams[key] = s
	}
	if s.subscribers++; s.left != nil {
		sh.left.Remove(s.left)
		s.left = nil
	}
	return s.epoch, s.offset, nil
}

// Unsubscribe implements Broker.
func (m *Memory) Unsubscribe(_ context.Context, key string) error {
	sh := m.shard(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s := sh.streams[key]
	if s == nil || s.subscribers == 0 {
		return nil
	}
	if s.subscribers--; s.subscribers > 0 {
		return nil
	}
	s.until = m.now() + m.limits.TTL
	s.left = sh.left.PushBack(s)
	for over(sh.left.Len(), shards.Share(m.limits.Abandoned)) {
		sh.end(sh.left.Front().Value.(*stream))
	}
	m.sweepLater()
	return nil
}

// History implements Broker.
func (m *Memory) History(_ context.Context, key string, after uint64, limit int) (string, uint64, []BrokerMessage, error) {
	sh := m.shard(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s := sh.streams[key]
	if s == nil {
		return "", 0, nil, nil
	}
	sh.trim(s, s.excess(m.limits, m.now()))
	return s.epoch, s.offset, s.after(after, limit), nil
}

// Positions implements Broker.
func (m *Memory) Positions(_ context.Context, keys []string) (epochs []string, offsets []uint64, err error) {
	epochs, offsets = make([]string, len(keys)), make([]uint64, len(keys))
	for i, key := range keys {
		sh := m.shard(key)
		sh.mu.Lock()
		if s := sh.streams[key]; s != nil {
			epochs[i], offsets[i] = s.epoch, s.offset
		}
		sh.mu.Unlock()
	}
	return epochs, offsets, nil
}

// has reports whether the stream exists.
func (m *Memory) has(key string) bool {
	sh := m.shard(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.streams[key] != nil
}

// matching returns the keys that match.
func (m *Memory) matching(p wire.Pattern) (keys []string) {
	for i := range m.shards {
		sh := &m.shards[i]
		sh.mu.Lock()
		for key := range sh.streams {
			if _, ok := p.Match(key); ok {
				keys = append(keys, key)
			}
		}
		sh.mu.Unlock()
	}
	return keys
}

func (m *Memory) shard(key string) *memoryShard { return &m.shards[m.spread.Index(key)] }

func (m *Memory) now() time.Duration { return time.Since(m.began) }

// trim drops the oldest messages of a stream.
func (sh *memoryShard) trim(s *stream, count int) {
	if count == 0 {
		return
	}
	sh.bytes -= s.drop(count)
	if len(s.kept) == 0 {
		sh.quiet.Remove(s.quiet)
		s.quiet = nil
	}
}

// end ends a stream that nobody is subscribed to.
func (sh *memoryShard) end(s *stream) {
	sh.trim(s, len(s.kept))
	sh.left.Remove(s.left)
	delete(sh.streams, s.key)
}
