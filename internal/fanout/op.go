package fanout

import "github.com/rohrpost/rohrpost/internal/wire"

// maxPending is the bytes of messages to groups that may wait for a worker. Above
// it the groups get a resync: publishing does not wait, and memory is bounded.
const maxPending = 64 << 20

// op is one thing to do.
type op struct {
	kind   opKind
	member *Member     // all but opPost, opBatch and opCall
	list   *memberList // opPost, opJoin, opLeave
	frame  wire.Frame  // opPost, opDirect
	batch  *batch      // opBatch
	label  *label      // opDirect; nil: the frame is of no group
	call   func()      // opCall
}

type opKind uint8

const (
	opPost   opKind = iota // a frame to the members
	opBatch                // several posts, which may be too much for some members
	opDirect               // a frame to one member
	opPong                 // the latest pong of a member
	opJoin
	opLeave
	opLeaveAll
	opClose   // the close frame after what waits
	opDiscard // the close frame in place of what waits
	opCall    // something rare
)

// append appends ops to what is pending. It is called with the lock of the worker.
func (w *worker) append(ops []op) {
	cost := int64(0)
	for i := range ops {
		o := &ops[i]
		if w.bytes += o.bytes(); w.bytes <= maxPending {
			w.pending = append(w.pending, *o)
			cost += w.costOf(o)
			continue
		}
		switch o.kind {
		case opPost:
			w.overflow(o.list)
		case opBatch:
			for i := range o.batch.ops {
				w.overflow(o.batch.ops[i].list)
			}
		default:
			w.pending = append(w.pending, *o) // they are bounded by the send queues
		}
	}
	w.cost.Add(cost)
}

// costOf returns about how many small writes an op adds to those before it: what is for the
// same members leaves together.
func (w *worker) costOf(o *op) (cost int64) {
	if o.kind == opBatch {
		for i := range o.batch.ops {
			cost += w.costOf(&o.batch.ops[i])
		}
		return cost
	}
	members := 1
	if o.kind == opPost {
		members = o.list.size
	}
	before := w.run
	if o.list != w.last.list || o.member != w.last.member {
		before, cost = 0, int64(members)
	}
	w.run = before + len(o.frame) + overhead
	cost += int64(members * (w.run/smallWrite - before/smallWrite))
	w.last = op{list: o.list, member: o.member}
	return cost
}

// bytes returns what counts of messages to groups.
func (o *op) bytes() (n int) {
	switch o.kind {
	case opPost:
		n = len(o.frame) + overhead
	case opBatch:
		for i := range o.batch.ops {
			n += len(o.batch.ops[i].frame) + overhead
		}
	}
	return n
}

// overflow appends one resync for a group in place of its messages. It is called with
// the lock of the group, as every message to a group is submitted.
func (w *worker) overflow(l *memberList) {
	if l.overflowed > w.taken {
		return
	}
	l.overflowed = w.taken + 1
	f := wire.TextFrame(wire.AddSpread(wire.ResyncPayload(l.group.name, wire.ReasonOverflow), l.group.size))
	w.pending = append(w.pending, op{kind: opPost, list: l, frame: f})
}
