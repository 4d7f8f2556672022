package budget

import (
	"slices"
	"sync/atomic"
)

// Pressure tells that so much was queued since the last look that somebody should look at
// all queues: to count them one by one costs too much for each message. A nil Pressure
// tells nothing. Its methods may be called concurrently.
type Pressure struct {
	step  int64
	since atomic.Int64
	look  func()
}

// NewPressure returns a Pressure that calls look each time a sixteenth of the limit was
// queued. It returns nil for a negative limit. look must not wait.
func NewPressure(limit int, look func()) *Pressure {
	if limit < 0 {
		return nil
	}
	return &Pressure{step: int64(max(limit/16, 1)), look: look}
}

// Add counts bytes that were queued.
func (p *Pressure) Add(bytes int) {
	if p == nil || p.since.Add(int64(bytes)) < p.step {
		return
	}
	if p.since.Swap(0) >= p.step { // else another call has reset it
		p.look()
	}
}

// Queue is what waits for a client.
type Queue[C any] struct {
	Of    C
	Bytes int
}

// Largest returns the clients with the largest queues without which all together are within
// the limit.
func Largest[C any](all []Queue[C], limit int) (largest []C) {
	total := 0
	for _, q := range all {
		total += q.Bytes
	}
	slices.SortFunc(all, func(a, b Queue[C]) int { return b.Bytes - a.Bytes })
	for _, q := range all {
		if total <= limit {
			break
		}
		largest = append(largest, q.Of)
		total -= q.Bytes
	}
	return largest
}
