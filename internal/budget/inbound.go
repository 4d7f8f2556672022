package budget

import "time"

// Inbound measures what one client sends. The zero value is ready. It is not for concurrent
// use.
type Inbound struct{ bytes, messages, controls, pauses Bucket }

// InboundRates are what a client may send.
type InboundRates struct{ Bytes, Messages, Controls Rate }

// Use is what a client has used too much of.
type Use int

// The uses. Within is none.
const (
	Within Use = iota
	Bytes
	Messages
	Controls
)

// maxPauses bounds how long the hub stops reading from a client: a second in all, a tenth
// of which comes back each second. The units are milliseconds.
var maxPauses = Rate{PerSecond: 100, Burst: 1000}

// Take charges a frame. It returns how long to stop reading, or for what the connection
// must be closed.
func (i *Inbound) Take(now time.Duration, size int, control bool, r *InboundRates) (pause time.Duration, over Use) {
	early, use := i.bytes.Take(now, size, r.Bytes), Bytes
	if control {
		if i.controls.Take(now, 1, r.Controls) > 0 {
			return 0, Controls
		}
	} else if other := i.messages.Take(now, 1, r.Messages); other > early {
		early, use = other, Messages
	}
	if early == 0 {
		return 0, Within
	}
	pause = early.Truncate(time.Millisecond) + time.Millisecond
	if i.pauses.Take(now, int(pause.Milliseconds()), maxPauses) > 0 {
		return 0, use
	}
	return pause, Within
}
