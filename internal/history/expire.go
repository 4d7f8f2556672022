package history

import (
	"container/list"
	"time"
)

// expireLater sets the timer that removes what becomes too old in streams that
// nothing touches any more.
func (s *Store) expireLater() {
	pause := s.expiryInterval()
	if pause < 0 || s.expiring.Load() || !s.expiring.CompareAndSwap(false, true) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.timer = time.AfterFunc(pause, s.Expire)
	}
}

// expiryInterval returns the time between two runs of expire; it is negative where
// nothing becomes too old.
func (s *Store) expiryInterval() time.Duration {
	pause := s.config.Limits.MaxAge
	if keep := s.config.Limits.KeepUnused; keep >= 0 && (pause < 0 || keep < pause) {
		pause = keep
	}
	if pause < 0 {
		return pause
	}
	return max(pause/4, time.Second)
}

// Expire drops what is too old. The timer calls it, and sets itself again while there is
// something that can expire.
func (s *Store) Expire() {
	s.expiring.Store(false)
	again := false
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		s.expireShard(sh)
		if len(sh.streams) == 0 {
			sh.streams = make(map[string]*stream) // a map keeps the room that it has needed
		}
		again = again || sh.keeping.Len() > 0 || sh.unused.Len() > 0 || sh.blank.Len() > 0
		sh.mu.Unlock()
	}
	if again {
		s.expireLater()
	}
}

// expireShard looks at the oldest streams first, and stops at one that is not too
// old.
func (s *Store) expireShard(sh *shard) {
	now := s.config.Now()
	for _, unused := range []*list.List{&sh.blank, &sh.unused} {
		for e := unused.Front(); e != nil && s.config.Limits.KeepUnused >= 0; e = unused.Front() {
			st := e.Value.(*stream)
			if now < st.until {
				break
			}
			sh.delete(st)
		}
	}
	for e := sh.keeping.Front(); e != nil; e = sh.keeping.Front() {
		st := e.Value.(*stream)
		sh.trim(st, st.excess(s.config.Limits, now))
		if len(st.kept) > 0 {
			break
		}
	}
}

// Close stops the timer.
func (s *Store) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed = true; s.timer != nil {
		s.timer.Stop()
	}
}
