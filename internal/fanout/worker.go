package fanout

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rohrpost/rohrpost/internal/sockio"
	"github.com/rohrpost/rohrpost/internal/wire"
)

const (
	// maxPending is the bytes of messages to groups that may wait for a worker. Above
	// it the groups get a resync: publishing does not wait, and memory is bounded.
	maxPending = 64 << 20

	// yieldEvery is the number of writes after which a worker lets other goroutines
	// run: with few processors, readers would starve.
	yieldEvery = 32

	// maxSpare is the capacity of a list, in elements, that a worker keeps for the next
	// time. It drops longer lists: what a flood has needed is let go.
	maxSpare = 1 << 11

	// maxRounds is how often a caller of work does what is pending before it hands the
	// rest to a goroutine.
	maxRounds = 4

	// segment is the bytes that one member is written before the next one, unless a frame
	// is larger: whatever waits, all members get it by and by, and can read meanwhile.
	segment = 256 << 10

	// maxPace is how long a worker waits between two segments for members that still have a
	// backlog. One that never reads makes it wait until its send queue is full.
	maxPace = 20 * time.Millisecond

	// overhead is what counts for each frame that waits, besides its bytes: about the
	// memory of its places in lists.
	overhead = 128
)

// worker writes to its share of the members. All that concerns a member goes through
// its worker, in one order: messages, joining, leaving, the end. A worker runs only
// while something is pending, and never waits for a member. What comes while it
// writes leaves together: load makes batches.
type worker struct {
	delivered *atomic.Uint64

	mu      sync.Mutex // guards what follows
	pending []op
	bytes   int    // of messages to groups that are pending, with the overhead
	taken   uint64 // how often the worker has taken what is pending
	running bool
	idle    chan struct{} // closed when the worker stops; nil: nothing waits for that

	// The following belong to the goroutine that runs the worker.
	spare   []op
	out     outgoing
	joined  []byte
	nodes   []node
	touched []*Member
	writes  int
	socket  sockio.Writer
}

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

// submit appends ops and makes sure that the worker runs. It does not wait.
func (w *worker) submit(ops ...op) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.append(ops)
	w.start()
}

// queue appends ops for a caller that calls wake or work afterwards.
func (w *worker) queue(ops ...op) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.append(ops)
}

// wake makes sure that the worker runs if something is pending.
func (w *worker) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.start()
}

func (w *worker) start() {
	if !w.running && len(w.pending) > 0 {
		w.running = true
		go w.run(nil)
	}
}

// work does what is pending on the goroutine of the caller, unless the worker runs
// anyway: to start a goroutine costs as much as a small write.
func (w *worker) work() {
	w.mu.Lock()
	busy := w.running
	w.running = true
	w.mu.Unlock()
	if busy {
		return
	}
	ops, ok := w.next()
	for round := 0; ok && round < maxRounds; round++ {
		w.do(ops)
		ops, ok = w.next()
	}
	if ok {
		go w.run(ops)
	}
}

// wait returns when the worker does not run, or with the error of ctx.
func (w *worker) wait(ctx context.Context) error {
	w.mu.Lock()
	if !w.running {
		w.mu.Unlock()
		return nil
	}
	if w.idle == nil {
		w.idle = make(chan struct{})
	}
	idle := w.idle
	w.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *worker) append(ops []op) {
	for i := range ops {
		o := &ops[i]
		if w.bytes += o.bytes(); w.bytes <= maxPending {
			w.pending = append(w.pending, *o)
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

// run does ops, and then what is pending until nothing is.
func (w *worker) run(ops []op) {
	GrowStack(0)
	for ok := true; ok; ops, ok = w.next() {
		w.do(ops)
	}
}

// GrowStack makes the stack of a new goroutine grow while it is empty. Handlers and
// workers need more than the 2 KiB with which it begins, and moving a stack of a dozen
// calls costs as much as all other work for a ping.
//
//go:noinline
func GrowStack(at uint8) byte {
	var room [3 << 10]byte
	return room[at]
}

// next takes what is pending. If nothing is, the caller must stop to run the worker.
func (w *worker) next() (ops []op, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ops = w.pending
	if len(ops) == 0 {
		w.running = false
		if w.idle != nil {
			close(w.idle)
			w.idle = nil
		}
		return nil, false
	}
	w.pending, w.spare, w.bytes = w.spare, nil, 0
	w.taken++
	return ops, true
}

// do joins ops for the same members once. It sorts a mixed batch by members.
func (w *worker) do(ops []op) {
	if len(ops) == 0 {
		return
	}
	if ops[0].kind == opPost && sameList(ops) {
		w.broadcast(ops)
	} else {
		w.doMixed(ops)
	}
	w.spare = emptied(ops)
}

func sameList(ops []op) bool {
	for _, o := range ops[1:] {
		if o.kind != opPost || o.list != ops[0].list {
			return false
		}
	}
	return true
}

// broadcast writes the same bytes to all members of a list.
func (w *worker) broadcast(ops []op) {
	members, label := ops[0].list.members, &ops[0].list.group.label
	w.delivered.Add(uint64(len(ops) * len(members)))
	for len(ops) > 0 {
		for len(ops) > 0 && w.out.add(ops[0].frame, label) {
			ops = ops[1:]
		}
		w.joinFrames()
		for _, m := range members {
			w.write(m)
		}
		w.out.reset()
		if len(ops) > 0 {
			w.pace(members)
		}
	}
}

// pace lets members read between two segments: a burst is written faster than anybody reads.
func (w *worker) pace(members []*Member) {
	behind := func(m *Member) bool { return m.writer.hasBacklog() }
	for began := time.Now(); slices.ContainsFunc(members, behind) && time.Since(began) < maxPace; {
		time.Sleep(time.Millisecond)
	}
}

// joinFrames makes one piece of the outgoing frames.
func (w *worker) joinFrames() {
	if len(w.out.frames) == 1 {
		w.out.joined = w.out.frames[0]
		return
	}
	w.joined = w.joined[:0]
	for _, f := range w.out.frames {
		w.joined = append(w.joined, f...)
	}
	w.out.joined = w.joined
}

func (w *worker) write(m *Member) {
	m.writer.write(&w.out)
	if w.writes++; w.writes%yieldEvery == 0 {
		runtime.Gosched()
	}
}

// emptied empties a list for the next time, or drops it if it is long.
func emptied[T any](list []T) []T {
	if cap(list) > maxSpare {
		return nil
	}
	clear(list)
	return list[:0]
}
