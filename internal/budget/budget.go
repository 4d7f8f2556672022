// Package budget measures what a client uses up against what it may.
package budget

import "time"

// Rate is what a client may use: PerSecond units in the long run, and Burst at once. Either
// negative means any amount.
type Rate struct{ PerSecond, Burst int }

// Bucket measures one use against a Rate. The zero value is a full one. It is not for
// concurrent use.
type Bucket struct {
	// due is when everything that was taken is earned again, on the clock of the caller.
	due time.Duration
}

// Take takes n units at a time. It returns 0 if the client may use them, else how long it
// should have waited.
func (b *Bucket) Take(now time.Duration, n int, r Rate) (early time.Duration) {
	if r.PerSecond < 0 || r.Burst < 0 || n == 0 {
		return 0
	}
	b.due = max(b.due, now) + cost(n, r)
	return max(0, b.due-now-cost(r.Burst, r))
}

// cost returns the time in which n units are earned.
func cost(n int, r Rate) time.Duration {
	return time.Duration(float64(n) * float64(time.Second) / float64(max(r.PerSecond, 1)))
}
