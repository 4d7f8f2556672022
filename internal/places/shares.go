// Package places bounds what one address or one user may hold of the connections,
// handshakes and running functions of a hub.
package places

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// ErrBusy is returned where too many wait already.
var ErrBusy = errors.New("too many wait")

// share is the part of all that one name may hold: an eighth.
const share = 8

// Shares are a number of things of which each name, an address or a user, may hold an
// eighth at a time. Others wait, in their order. Make one with NewShares. The methods may
// be called concurrently.
type Shares struct {
	max, maxWaiting int

	mu      sync.Mutex // guards what follows
	taken   int
	held    counts
	waits   counts
	waiting []*waiter
}

// Names are those for which one thing is held: an address, and a user. An empty one is not
// counted.
type Names [2]string

// counts counts by address, and by user.
type counts [2]map[string]int

func newCounts() counts { return counts{make(map[string]int), make(map[string]int)} }

type waiter struct {
	names Names
	ready chan struct{} // closed when the waiter holds what it waits for
}

// NewShares returns max things, negative for any number. At most maxWaiting wait, negative
// for any number; each name may fill an eighth of that too.
func NewShares(max, maxWaiting int) *Shares {
	return &Shares{max: max, maxWaiting: maxWaiting, held: newCounts(), waits: newCounts()}
}

// Take takes one. It waits until there is one for the names, or until ctx ends, whose error
// it returns.
func (s *Shares) Take(ctx context.Context, names Names) error {
	if s.max < 0 {
		return nil
	}
	s.mu.Lock()
	if s.fits(names) {
		s.take(names)
		s.mu.Unlock()
		return nil
	}
	if !s.mayWait(names) {
		s.mu.Unlock()
		return ErrBusy
	}
	w := &waiter{names, make(chan struct{})}
	s.waiting = append(s.waiting, w)
	s.waits.add(names, 1)
	s.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		return s.giveUp(ctx, w)
	}
}

// Leave gives one back.
func (s *Shares) Leave(names Names) {
	if s.max < 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken--
	s.held.add(names, -1)
	for i, w := range s.waiting {
		if s.fits(w.names) {
			s.take(w.names)
			s.remove(i)
			close(w.ready)
			return
		}
	}
}

// Held returns how many are taken.
func (s *Shares) Held() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken
}

// giveUp ends a wait. The waiter may have got what it waits for in the same moment.
func (s *Shares) giveUp(ctx context.Context, w *waiter) error {
	s.mu.Lock()
	i := slices.Index(s.waiting, w)
	if i >= 0 {
		s.remove(i)
	}
	s.mu.Unlock()
	if i < 0 {
		s.Leave(w.names)
	}
	return ctx.Err()
}

func (s *Shares) remove(i int) {
	s.waits.add(s.waiting[i].names, -1)
	s.waiting = slices.Delete(s.waiting, i, i+1)
}

func (s *Shares) take(names Names) {
	s.taken++
	s.held.add(names, 1)
}

func (s *Shares) fits(names Names) bool {
	return s.taken < s.max && s.held.within(names, partOf(s.max))
}

func (s *Shares) mayWait(names Names) bool {
	return s.maxWaiting < 0 || len(s.waiting) < s.maxWaiting && s.waits.within(names, partOf(s.maxWaiting))
}

// within reports whether each name may have one more, up to most.
func (c *counts) within(names Names, most int) bool {
	for i, name := range names {
		if name != "" && c[i][name] >= most {
			return false
		}
	}
	return true
}

func (c *counts) add(names Names, n int) {
	for i, name := range names {
		if name == "" {
			continue
		}
		if c[i][name] += n; c[i][name] == 0 {
			delete(c[i], name)
		}
	}
}

// partOf returns what one name may hold of n.
func partOf(n int) int { return max(n/share, 1) }
