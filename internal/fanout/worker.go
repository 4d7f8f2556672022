package fanout

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

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
	// time. It drops longer lists.
	maxSpare = 1 << 14

	// maxRounds is how often a caller of work does what is pending before it hands the
	// rest to a goroutine.
	maxRounds = 4

	// segment is about the bytes that are joined for one write.
	segment = 256 << 10
)

// worker writes to its share of the members. All that concerns a member goes through
// its worker, in one order: messages, joining, leaving, the end. A worker runs only
// while something is pending, and never waits for a member. What comes while it
// writes leaves together: load makes batches.
type worker struct {
	delivered *atomic.Uint64

	mu         sync.Mutex // guards what follows
	pending    []op
	bytes      int           // of messages to groups that are pending
	overflowed []*memberList // whose groups get a resync in place of further messages
	running    bool
	idle       chan struct{} // closed when the worker stops; nil: nothing waits for that

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
	member *Member     // all but opPost and opBatch
	list   *memberList // opPost, opJoin, opLeave
	frame  wire.Frame  // opPost, opDirect
	batch  *batch      // opBatch
}

type opKind uint8

const (
	opPost   opKind = iota // a frame to the members
	opBatch                // several posts, which may be too much for some members
	opDirect               // a frame to one member
	opJoin
	opLeave
	opLeaveAll
	opClose   // the close frame after what waits
	opDiscard // the close frame in place of what waits
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
	for _, o := range ops {
		if o.kind == opPost {
			if w.bytes += len(o.frame); w.bytes > maxPending {
				w.overflow(o.list)
				continue
			}
		}
		w.pending = append(w.pending, o)
	}
}

// overflow appends one resync for a group in place of its messages. It is called with
// the lock of the group, as every opPost is submitted.
func (w *worker) overflow(l *memberList) {
	if slices.Contains(w.overflowed, l) {
		return
	}
	w.overflowed = append(w.overflowed, l)
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
	w.pending, w.spare, w.bytes, w.overflowed = w.spare, nil, 0, nil
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
	members := ops[0].list.members
	w.delivered.Add(uint64(len(ops) * len(members)))
	for len(ops) > 0 {
		size := 0
		for len(ops) > 0 && (size == 0 || size+len(ops[0].frame) <= segment) {
			size += len(ops[0].frame)
			w.out.frames = append(w.out.frames, ops[0].frame)
			ops = ops[1:]
		}
		w.joinFrames()
		for _, m := range members {
			w.write(m)
		}
		w.out.reset()
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
