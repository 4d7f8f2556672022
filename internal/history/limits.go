package history

import "time"

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
	setDefault(&l.MaxMessages, 1000)
	setDefault(&l.MaxBytes, 512<<10)
	setDefault(&l.MaxAge, 5*time.Minute)
	setDefault(&l.KeepUnused, 5*time.Minute)
	setDefault(&l.MaxUnused, 100_000)
	setDefault(&l.MaxTotalBytes, 64<<20)
	return l
}

// overhead is what counts of each message besides its bytes: about the memory of its place
// in a stream.
const overhead = 128

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// over reports whether n is more than a limit allows. A negative limit means none.
func over(n, limit int) bool { return limit >= 0 && n > limit }
