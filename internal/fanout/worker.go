package fanout

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rohrpost/rohrpost/internal/sockio"
)

const (
	// yieldEvery is the number of writes after which a worker lets other goroutines
	// run: with few processors, readers would starve.
	yieldEvery = 32

	// crowdedRounds is how many rounds of a worker must find one op, and leave none behind, until
	// messages count as coming one at a time.
	crowdedRounds = 16

	// maxSpare is the capacity of a list, in elements, that a worker keeps for the next
	// time. It drops longer lists: what a flood has needed is let go.
	maxSpare = 1 << 11

	// maxPace is how long a worker waits between two segments for members that still have a
	// backlog. One that never reads makes it wait until its send queue is full.
	maxPace = 20 * time.Millisecond
)

// worker writes to its share of the members. All that concerns a member goes through
// its worker, in one order: messages, joining, leaving, the end. A worker runs only
// while something is pending, and never waits for a member. What comes while it
// writes leaves together: load makes batches.
type worker struct {
	runners   *runners
	delivered *atomic.Uint64

	mu      sync.Mutex // guards what follows
	pending []op
	bytes   int          // of messages to groups that are pending, with the overhead
	taken   uint64       // how often the worker has taken what is pending
	cost    atomic.Int64 // of pending, in small writes; changed with the lock
	last    op           // the list and the member of the last one pending
	run     int          // the bytes of those before it, and of it, that are for the same
	state   workerState
	inline  atomic.Int32  // how often callers may run the worker until a goroutine looks again
	crowded atomic.Int32  // rounds until messages count as coming one at a time
	stopped chan struct{} // closed when the worker becomes idle; nil: nothing waits for that

	// The following belong to the goroutine that runs the worker.
	spare   []op
	out     outgoing
	joined  []byte
	nodes   []node
	touched []*Member
	writes  int
	socket  sockio.Writer
	yielder *sockio.Yielder // nil: it runs on the goroutine of a caller
}

type workerState uint8

const (
	idle    workerState = iota // nobody has asked for a run
	ready                      // it is among the runners
	running                    // on some goroutine
)

// submit appends ops and makes sure that the worker runs. It does not wait.
func (w *worker) submit(ops ...op) {
	w.offer(ops...)
	w.runners.start()
}

// offer appends ops for a caller that calls the start or work of the runners afterwards.
func (w *worker) offer(ops ...op) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.append(ops)
	w.announce()
}

// queue appends ops for a caller that calls wake or work afterwards.
func (w *worker) queue(ops ...op) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.append(ops)
}

// wake makes sure that the worker runs if something is pending.
func (w *worker) wake() { w.submit() }

// work is wake for a caller that may write itself.
func (w *worker) work() {
	w.offer()
	w.runners.work(maxInline)
}

// announce makes the worker wait to be run if something is pending.
func (w *worker) announce() {
	if w.state == idle && len(w.pending) > 0 {
		w.state = ready
		w.runners.add(w)
	}
}

// round does what is pending, if that is not more than limit, and returns its cost. Without
// a Yielder it is on the goroutine of a caller, which does not wait.
func (w *worker) round(y *sockio.Yielder, limit int64) (cost int64) {
	ops, cost := w.take(limit)
	w.yielder = y
	w.learn(len(ops), y == nil)
	w.do(ops)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state = idle
	if len(ops) > 1 || len(w.pending) > 0 {
		w.crowded.Store(crowdedRounds)
	} else if w.crowded.Load() > 0 {
		w.crowded.Add(-1)
	}
	if w.announce(); w.state == idle && w.stopped != nil {
		close(w.stopped)
		w.stopped = nil
	}
	return cost
}

// take takes what is pending, nothing where that is more than limit.
func (w *worker) take(limit int64) (ops []op, cost int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cost.Load() > limit {
		return nil, 0
	}
	w.state = running
	ops, cost = w.pending, w.cost.Swap(0)
	w.pending, w.spare, w.bytes, w.last, w.run = w.spare, nil, 0, op{}, 0
	w.taken++
	return ops, cost
}

// learn decides whether callers are to run the worker. They do as long as a goroutine finds no
// more than one op: where it finds several, these leave together, which saves more than the
// start of a goroutine costs. Now and then a goroutine looks again.
func (w *worker) learn(ops int, inline bool) {
	switch {
	case inline:
		w.inline.Add(-1)
	case ops == 1:
		w.inline.Store(inlineRuns)
	case ops > 1:
		w.inline.Store(0)
	}
}

// isSmall reports whether a caller may run the worker, and that costs no more than the budget.
func (w *worker) isSmall(budget int64) bool { return w.inline.Load() > 0 && w.cost.Load() <= budget }

// wait returns when the worker has nothing to do, or with the error of ctx.
func (w *worker) wait(ctx context.Context) error {
	w.mu.Lock()
	if w.state == idle {
		w.mu.Unlock()
		return nil
	}
	if w.stopped == nil {
		w.stopped = make(chan struct{})
	}
	stopped := w.stopped
	w.mu.Unlock()
	select {
	case <-stopped:
		return nil
	case <-ctx.Done():
		return ctx.Err()
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
	if w.writes++; w.writes%yieldEvery == 0 && w.yielder != nil {
		w.yielder.Yield()
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
