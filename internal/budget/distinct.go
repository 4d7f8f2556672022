package budget

import "time"

// maxDistinct is the number of names that Distinct remembers.
const maxDistinct = 128

// Distinct is a Bucket for which a name counts once, as long as it is remembered. The zero
// value is a full one. It is not for concurrent use.
type Distinct struct {
	bucket Bucket
	known  map[string]bool // nil: none
}

// Take takes one unit for a name. It reports whether that is over the Rate.
func (d *Distinct) Take(now time.Duration, name string, r Rate) (over bool) {
	if d.known[name] {
		return false
	}
	if d.known == nil || len(d.known) == maxDistinct {
		d.known = make(map[string]bool)
	}
	d.known[name] = true
	return d.bucket.Take(now, 1, r) > 0
}
