package history

import (
	"slices"
	"sync"
	"time"

	"github.com/rohrpost/rohrpost/broker"
)

// keepSources is how long a Store remembers a source at least.
const keepSources = 2 * time.Hour

// sources are those of batches. The lock is taken before those of streams.
type sources struct {
	mu     sync.Mutex
	byName map[string]source
	swept  time.Duration // when the old ones were removed
}

type source struct {
	taken uint64        // the number of the last batch
	at    time.Duration // when it was taken
}

// Take publishes the batches that are new, as broker.Broker describes it.
func (s *Store) Take(batches []broker.Batch) {
	s.sources.mu.Lock()
	defer s.sources.mu.Unlock()
	for i := range batches {
		if b := &batches[i]; s.sources.take(b.Source, b.Number, s.config.Now()) {
			s.Publish(slices.Clone(b.Messages))
		}
	}
}

// Taken returns the number of the last batch of a source.
func (s *Store) Taken(name string) uint64 {
	s.sources.mu.Lock()
	defer s.sources.mu.Unlock()
	return s.sources.byName[name].taken
}

// take reports whether a batch is new.
func (s *sources) take(name string, number uint64, now time.Duration) bool {
	known, ok := s.byName[name]
	if number <= known.taken {
		return false
	}
	if s.byName == nil {
		s.byName = make(map[string]source)
	}
	if !ok && now-s.swept > keepSources/2 {
		s.sweep(now)
	}
	s.byName[name] = source{taken: number, at: now}
	return true
}

// sweep forgets the sources that have been silent for long.
func (s *sources) sweep(now time.Duration) {
	s.swept = now
	for name, known := range s.byName {
		if now-known.at > keepSources {
			delete(s.byName, name)
		}
	}
}
