package budget

import (
	"runtime"
	"sync/atomic"
)

// yieldEvery is how often slots are handed on until others run. The scheduler prefers a
// goroutine that another one has woken to all that wait: those that hand slots on would run
// one after another, and keep a processor for as long as there are some.
const yieldEvery = 8

// Slots bounds how many goroutines do something at a time. Those that wait get a slot in
// their order. Make one with NewSlots. Its methods may be called concurrently.
type Slots struct {
	taken  chan struct{}
	handed atomic.Uint64 // how often a slot was handed on
}

// NewSlots returns n free Slots.
func NewSlots(n int) *Slots { return &Slots{taken: make(chan struct{}, n)} }

// Take takes a slot. It waits until one is free.
func (s *Slots) Take() {
	select {
	case s.taken <- struct{}{}:
		return
	default:
	}
	s.taken <- struct{}{}
	if s.handed.Add(1)%yieldEvery == 0 {
		runtime.Gosched()
	}
}

// Leave gives a slot back.
func (s *Slots) Leave() { <-s.taken }
