package history

import (
	"cmp"
	"time"
)

// Limits is rohrpost.HistoryLimits, which documents the fields.
type Limits struct {
	MaxMessages   int
	MaxBytes      int
	MaxAge        time.Duration
	KeepUnused    time.Duration
	MaxUnused     int
	MaxTotalBytes int
}

// WithDefaults returns the limits with the default in place of each zero.
func (l Limits) WithDefaults() Limits {
	l.MaxMessages = cmp.Or(l.MaxMessages, 1000)
	l.MaxBytes = cmp.Or(l.MaxBytes, 512<<10)
	l.MaxAge = cmp.Or(l.MaxAge, 5*time.Minute)
	l.KeepUnused = cmp.Or(l.KeepUnused, 5*time.Minute)
	l.MaxUnused = cmp.Or(l.MaxUnused, 100_000)
	l.MaxTotalBytes = cmp.Or(l.MaxTotalBytes, 64<<20)
	return l
}

// overhead is what counts of each message besides its bytes: about the memory of its place
// in a stream.
const overhead = 128

// over reports whether n is more than a limit allows. A negative limit means none.
func over(n, limit int) bool { return limit >= 0 && n > limit }
