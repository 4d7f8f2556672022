package faults

import (
	"fmt"
	"slices"
)

// Check compares a client's events of a group with the committed changes, in order,
// starting with a client that knows nothing. Every change must arrive exactly once and
// in order. The client may miss changes only if the server asked it to load a snapshot
// and the snapshot contains them; changes in a snapshot may also arrive as messages.
// Without offsets the server cannot detect a gap: a client that reconnects then loses
// the changes sent in between. subject names the client in the problems.
func Check(subject string, committed []int64, events []Event) Result {
	o := &oracle{
		committed: committed, index: make(map[int64]int, len(committed)), received: make([]receipt, len(committed)),
		offset: -1, newest: -1, subject: subject,
	}
	for i, n := range committed {
		o.index[n] = i
	}
	for i, e := range events {
		switch e.Kind {
		case Subscribed:
			o.subscribed(i, e)
		case Changed:
			o.changed(i, e)
		case Resync:
			o.resynced(i, e)
		case Loaded:
			o.loaded(i, e)
		case Disconnected:
		}
	}
	o.countLost(len(events), len(committed))
	o.Expected = len(committed)
	for _, r := range o.received {
		switch r {
		case byMessage:
			o.Delivered++
		case bySnapshot:
			o.Loaded++
		}
	}
	return o.Result
}

// oracle replays one client's events of one group.
type oracle struct {
	Result
	committed   []int64 // all changes, in order
	index       map[int64]int
	received    []receipt // of each committed change
	checked     int       // changes before this index are received or counted as lost
	epoch       string
	offset      int64 // of the newest message; -1 if unknown
	needsReload bool  // the server asked for a snapshot, and the client has not loaded it yet
	offsetJump  bool  // the next offset may be any later one
	newest      int   // index of the newest change that arrived as a message
	subject     string
}

// receipt is the way in which the client received a change.
type receipt int8

const (
	notReceived receipt = iota
	byMessage
	bySnapshot
	lost
)

func (o *oracle) subscribed(at int, e Event) {
	switch e.Recovered {
	case "true":
		o.Recovered++
		o.offsetJump = false
		if e.Epoch != o.epoch || e.Offset < o.offset+e.Missed {
			o.problem(&o.BadOffsets, at, "recovered %d messages after %s/%d, to %s/%d", e.Missed, o.epoch, o.offset, e.Epoch, e.Offset)
		}
		if e.Missed == 0 {
			o.offset = e.Offset
		}
		return // the replay follows and continues the offsets
	case "false":
		addCounts(&o.NotRecovered, map[string]int{e.Reason: 1})
		o.needsReload = true
	}
	o.epoch, o.offset, o.offsetJump = e.Epoch, e.Offset, false
}

func (o *oracle) changed(at int, e Event) {
	o.checkOffset(at, e)
	i, ok := o.index[e.N]
	if !ok {
		o.problem(&o.Phantoms, at, "change %d was never committed", e.N)
		return
	}
	switch {
	case o.received[i] == byMessage:
		o.problem(&o.Duplicates, at, "change %d arrived again", e.N)
		return
	case i < o.newest:
		o.problem(&o.OutOfOrder, at, "change %d arrived after change %d", e.N, o.committed[o.newest])
	}
	o.newest = max(o.newest, i)
	if !o.needsReload {
		o.countLost(at, i)
	}
	if o.received[i] == lost {
		o.Lost-- // late, not lost: already counted as out of order
	}
	o.received[i] = byMessage
}

// checkOffset checks that the offset follows the previous one.
func (o *oracle) checkOffset(at int, e Event) {
	if e.Offset < 0 {
		return
	}
	hole := e.Prev > o.offset && !o.offsetJump
	if o.offset >= 0 && (hole || e.Offset <= o.offset) {
		o.problem(&o.BadOffsets, at, "offset %d follows %d", e.Offset, o.offset)
	}
	o.offset, o.offsetJump = e.Offset, false
}

func (o *oracle) resynced(at int, e Event) {
	addCounts(&o.Resyncs, map[string]int{e.Reason: 1})
	o.needsReload = true
	switch {
	case e.Offset < 0:
		o.offsetJump = true
	case e.Epoch != "":
		o.epoch, o.offset, o.offsetJump = e.Epoch, e.Offset, false
	default:
		o.checkOffset(at, e)
	}
}

func (o *oracle) loaded(at int, e Event) {
	o.needsReload = false
	for _, n := range e.Rows {
		i, ok := o.index[n]
		switch {
		case !ok:
			o.problem(&o.Phantoms, at, "the snapshot contains change %d, which was never committed", n)
		case o.received[i] == lost:
			// Stays lost: the client needed it before a later message.
		case o.received[i] == notReceived:
			o.received[i] = bySnapshot
		}
	}
}

// countLost counts the changes before an index that have not been received as lost.
func (o *oracle) countLost(at, until int) {
	for ; o.checked < until; o.checked++ {
		if o.received[o.checked] == notReceived {
			o.received[o.checked] = lost
			o.problem(&o.Lost, at, "change %d is missing", o.committed[o.checked])
		}
	}
}

func (o *oracle) problem(counter *int, at int, format string, args ...any) {
	*counter++
	if len(o.Problems) < 5 {
		o.Problems = append(o.Problems, fmt.Sprintf("%s, event %d: ", o.subject, at)+fmt.Sprintf(format, args...))
	}
}

// upTo returns the numbers 1 to n.
func upTo(n int64) []int64 {
	rows := make([]int64, 0, n)
	for i := range n {
		rows = append(rows, i+1)
	}
	return slices.Clip(rows)
}
