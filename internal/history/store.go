// Package history keeps the latest messages of streams in memory, within limits,
// and delivers new ones.
package history

import (
	"container/list"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/shards"
)

// Config configures a Store. The zero Config keeps streams within the default
// limits.
type Config struct {
	Limits Limits

	// Disabled makes the Store keep nothing and give no positions.
	Disabled bool

	// Frame makes of a payload and an offset in a stream what is kept and delivered. The
	// offset 0 stands for none. It runs under the lock of the stream. Defaults to the
	// payload itself.
	Frame func(key string, payload []byte, offset uint64) []byte

	// Now returns the time by which messages and streams expire. Defaults to the time
	// since New.
	Now func() time.Duration
}

// Store is the broker of one process. It starts no goroutine; a timer runs while
// something can expire. Make one with New. Its methods may be called concurrently,
// and do not wait.
type Store struct {
	config  Config
	hash    shards.Hash
	shards  [shards.Count]shard
	sources sources

	expiring  atomic.Bool // a timer is set
	mu        sync.Mutex  // guards changes of what follows
	listeners atomic.Pointer[[]*Listener]
	timer     *time.Timer
	closed    bool
}

// Listener gets what Store delivers. Both functions run under the locks of the streams
// concerned, so that the messages of one stream are delivered in order.
type Listener struct {
	Deliver func(batch []broker.Message)
	Signal  func(m broker.Message) // one that has no position
}

// shard holds the streams whose keys have one hash.
type shard struct {
	mu      sync.Mutex
	streams map[string]*stream
	bytes   int
	keeping list.List // streams that keep messages, the one without new messages for longest first
	blank   list.List // streams without subscribers and messages so far, the one without for longest first
	unused  list.List // other streams without subscribers, in the same order
}

// New returns an empty Store.
func New(c Config) *Store {
	c.Limits = c.Limits.WithDefaults()
	if c.Now == nil {
		began := time.Now()
		c.Now = func() time.Duration { return time.Since(began) }
	}
	s := &Store{config: c, hash: shards.New()}
	for i := range s.shards {
		s.shards[i].streams = make(map[string]*stream)
	}
	s.listeners.Store(&[]*Listener{})
	return s
}

// Listen adds a listener, until stop is called.
func (s *Store) Listen(l Listener) (stop func()) {
	s.changeListeners(func(all []*Listener) []*Listener { return append(all, &l) })
	return func() {
		s.changeListeners(func(all []*Listener) []*Listener {
			return slices.DeleteFunc(all, func(other *Listener) bool { return other == &l })
		})
	}
}

func (s *Store) changeListeners(f func([]*Listener) []*Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := f(slices.Clone(*s.listeners.Load()))
	s.listeners.Store(&all)
}

// Publish appends messages to their streams, together and in order, and delivers them
// before it returns. It drops messages of streams that do not exist. The batch belongs to
// it from then on.
func (s *Store) Publish(batch []broker.Message) {
	if len(batch) == 1 { // most commits change one row
		sh := s.shard(batch[0].Stream)
		sh.mu.Lock()
		defer sh.mu.Unlock()
	} else {
		var l shards.Locks
		for i := range batch {
			at := s.hash.Index(batch[i].Stream)
			l[at] = &s.shards[at].mu
		}
		l.Lock()
		defer l.Unlock()
	}
	delivered := batch[:0]
	for i := range batch {
		if message, ok := s.append(&batch[i]); ok {
			delivered = append(delivered, message)
		}
	}
	if len(delivered) > 0 {
		for _, l := range *s.listeners.Load() {
			l.Deliver(delivered)
		}
	}
}

// Signal delivers a message that gets no position and is not kept, in order with those
// of its stream.
func (s *Store) Signal(m broker.Message) {
	sh := s.shard(m.Stream)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	m.Position, m.Prev = broker.Position{}, 0
	m.Payload = s.framed(&m)
	for _, l := range *s.listeners.Load() {
		l.Signal(m)
	}
}

// append appends a message to its stream, and reports whether it is to be delivered.
func (s *Store) append(given *broker.Message) (message broker.Message, ok bool) {
	message = broker.Message{Stream: given.Stream, Payload: given.Payload}
	if s.config.Disabled {
		message.Payload = s.framed(&message)
		return message, true
	}
	sh := s.shard(message.Stream)
	st := sh.streams[message.Stream]
	if st == nil {
		return message, false // no hub has asked for the stream
	}
	message.Prev = st.at.Offset
	st.at.Offset++
	message.Position = st.at
	message.Payload = s.framed(&message)
	s.keep(sh, st, &message)
	return message, true
}

func (s *Store) framed(m *broker.Message) []byte {
	if s.config.Frame == nil {
		return m.Payload
	}
	return s.config.Frame(m.Stream, m.Payload, m.Offset)
}

// keep keeps a message, and drops old ones that exceed the limits.
func (s *Store) keep(sh *shard, st *stream, message *broker.Message) {
	now := s.config.Now()
	switch {
	case st.unused == nil:
	case st.among == &sh.blank: // it has a message now
		sh.use(st)
		sh.disuse(st)
	default:
		st.among.MoveToBack(st.unused)
	}
	st.kept = append(st.kept, kept{payload: message.Payload, at: now})
	st.bytes += len(message.Payload) + overhead
	sh.bytes += len(message.Payload) + overhead
	if st.keeping == nil {
		st.keeping = sh.keeping.PushBack(st)
	} else {
		sh.keeping.MoveToBack(st.keeping)
	}
	sh.trim(st, st.excess(s.config.Limits, now))
	for over(sh.bytes, shards.Share(s.config.Limits.MaxTotalBytes)) && sh.keeping.Len() > 0 {
		sh.trim(sh.greedy(st, shards.Share(s.config.Limits.MaxTotalBytes)), 1)
	}
	s.expireLater()
}

// Subscribe counts a subscriber of a stream, and returns the position of the stream.
// It creates the stream if it does not exist.
func (s *Store) Subscribe(key string) broker.Position {
	if s.config.Disabled {
		return broker.Position{}
	}
	sh := s.shard(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	st := sh.streams[key]
	if st == nil {
		st = newStream(key)
		sh.streams[key] = st
	}
	if st.subscribers++; st.unused != nil {
		sh.use(st)
	}
	return st.at
}

// Unsubscribe takes back one Subscribe. A stream without subscribers expires after a
// while.
func (s *Store) Unsubscribe(key string) {
	sh := s.shard(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	st := sh.streams[key]
	if st == nil || st.subscribers == 0 {
		return
	}
	if st.subscribers--; st.subscribers > 0 {
		return
	}
	st.until = s.config.Now() + s.config.Limits.KeepUnused
	sh.disuse(st)
	for over(sh.blank.Len()+sh.unused.Len(), shards.Share(s.config.Limits.MaxUnused)) {
		sh.delete(sh.leastUseful())
	}
	s.expireLater()
}

// History returns the position of a stream and the messages after an offset.
func (s *Store) History(key string, after uint64, limit int) broker.History {
	sh := s.shard(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	st := sh.streams[key]
	if st == nil {
		return broker.History{}
	}
	sh.trim(st, st.excess(s.config.Limits, s.config.Now()))
	return broker.History{Position: st.at, Messages: st.after(after, limit)}
}

// Positions returns the positions of streams, zero for one that does not exist.
func (s *Store) Positions(keys []string) []broker.Position {
	positions := make([]broker.Position, len(keys))
	for i, key := range keys {
		sh := s.shard(key)
		sh.mu.Lock()
		if st := sh.streams[key]; st != nil {
			positions[i] = st.at
		}
		sh.mu.Unlock()
	}
	return positions
}

// Has reports whether the stream exists.
func (s *Store) Has(key string) bool {
	sh := s.shard(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.streams[key] != nil
}

// Keys returns the keys of the streams for which match holds, in no order. match
// runs under a lock.
func (s *Store) Keys(match func(key string) bool) (keys []string) {
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		for key := range sh.streams {
			if match(key) {
				keys = append(keys, key)
			}
		}
		sh.mu.Unlock()
	}
	return keys
}

func (s *Store) shard(key string) *shard { return &s.shards[s.hash.Index(key)] }

// trim drops the oldest messages of a stream.
func (sh *shard) trim(st *stream, count int) {
	if count == 0 {
		return
	}
	sh.bytes -= st.drop(count)
	if len(st.kept) == 0 {
		sh.keeping.Remove(st.keeping)
		st.keeping = nil
	}
}

// delete removes a stream without subscribers.
func (sh *shard) delete(st *stream) {
	sh.trim(st, len(st.kept))
	sh.use(st)
	delete(sh.streams, st.key)
}

// disuse enters a stream without subscribers.
func (sh *shard) disuse(st *stream) {
	st.among = &sh.unused
	if st.at.Offset == 0 {
		st.among = &sh.blank
	}
	st.unused = st.among.PushBack(st)
}

// use takes back disuse.
func (sh *shard) use(st *stream) {
	st.among.Remove(st.unused)
	st.unused = nil
}

// leastUseful returns the stream without subscribers that ends first where there are too
// many: one without messages, of which any client that may choose names makes many.
func (sh *shard) leastUseful() *stream {
	if e := sh.blank.Front(); e != nil {
		return e.Value.(*stream)
	}
	return sh.unused.Front().Value.(*stream)
}

// maxLooks is the number of streams at which greedy looks.
const maxLooks = 64

// greedy returns the stream that loses its oldest message where all keep too much: the one
// that has just got a message if it has more than its share, else one that has been without
// new messages for long, if possible one that has more than its share.
func (sh *shard) greedy(st *stream, limit int) *stream {
	share := limit / sh.keeping.Len()
	if st.keeping != nil && st.bytes > share {
		return st
	}
	e := sh.keeping.Front()
	for range maxLooks {
		if e == nil {
			break
		}
		if other := e.Value.(*stream); other.bytes > share {
			return other
		}
		e = e.Next()
	}
	return sh.keeping.Front().Value.(*stream)
}
