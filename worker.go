package rohrpost

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"syscall"

	"github.com/rohrpost/rohrpost/internal/sockio"
	"github.com/rohrpost/rohrpost/internal/wire"
)

const (
	// maxPending is how many bytes of messages to groups may wait for a worker.
	// Above it the groups are told to load their state again: publishing waits for
	// nobody, and memory is bounded.
	maxPending = 64 << 20

	// yieldEvery is after how many writes a worker lets others run: where there
	// are few processors, readers would starve.
	yieldEvery = 32

	// maxSpare is how much of a list a worker keeps for the next time: elements,
	// not bytes. What a flood has needed is let go.
	maxSpare = 1 << 14

	// maxHelp is how often somebody else does what is pending before a goroutine
	// does the rest.
	maxHelp = 4

	// segment is about how many bytes are put together for one write.
	segment = 256 << 10
)

// worker writes to its share of the connections. All that concerns one of them
// goes through its worker, in one order: messages, joining, leaving, the end. It
// runs only while there is something to do, and never waits for a connection.
// What came while it was writing leaves together: load makes batches.
type worker struct {
	hub *Hub

	mu      sync.Mutex // guards what follows
	pending []op
	bytes   int     // of messages to groups that are pending
	stale   []*part // of groups that are told to load their state again instead
	running bool
	ended   chan struct{} // closed when it does not run any more; nil: nobody waits for that

	// What follows belongs to who runs it.
	spare   []op
	list    outgoing
	joined  []byte
	nodes   []node
	touched []*Conn
	writes  int
	writer  sockio.Writer
}

// op is one thing to do.
type op struct {
	kind  opKind
	conn  *Conn      // all but opPost and opBatch
	part  *part      // opPost, opJoin, opLeave
	frame wire.Frame // opPost, opDirect
	batch *batch     // opBatch
}

type opKind uint8

const (
	opPost   opKind = iota // a frame to the members
	opBatch                // several posts, which may be too much for some
	opDirect               // a frame to one connection
	opJoin
	opLeave
	opGone // leave all groups
	opEnd  // say farewell after what waits
	opDrop // say farewell instead of what waits
)

// batch is the posts of one commit that together may be too much for a member.
type batch struct {
	worker  *worker
	ops     []op
	resyncs []wire.Frame // instead of each
	budget  int
}

// add appends what is to be done, and sees to it that somebody does it. It never
// waits.
func (w *worker) add(ops ...op) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.append(ops)
	if !w.running && len(w.pending) > 0 {
		w.running = true
		go w.run(nil)
	}
}

// hold is add for who calls help, or add, afterwards.
func (w *worker) hold(ops ...op) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.append(ops)
}

// help does what is pending on the goroutine of the caller, unless the worker
// runs anyway: to start a goroutine costs as much as a small write.
func (w *worker) help() {
	w.mu.Lock()
	busy := w.running
	w.running = true
	w.mu.Unlock()
	if busy {
		return
	}
	ops, ok := w.take()
	for round := 0; ok && round < maxHelp; round++ {
		w.do(ops)
		ops, ok = w.take()
	}
	if ok {
		go w.run(ops)
	}
}

// attempt returns how to write to a socket without waiting, nil if it cannot be
// done. It is for the goroutine.
func (w *worker) attempt(raw syscall.RawConn) tryFunc {
	if raw == nil {
		return nil
	}
	return func(p []byte) (int, error) { return w.writer.Write(raw, p) }
}

// wait returns when the worker does not run, or when ctx ends.
func (w *worker) wait(ctx context.Context) error {
	w.mu.Lock()
	if !w.running {
		w.mu.Unlock()
		return nil
	}
	if w.ended == nil {
		w.ended = make(chan struct{})
	}
	ended := w.ended
	w.mu.Unlock()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *worker) append(ops []op) {
	for _, o := range ops {
		if o.kind == opPost {
			if w.bytes += len(o.frame); w.bytes > maxPending {
				w.flood(o.part)
				continue
			}
		}
		w.pending = append(w.pending, o)
	}
}

// flood tells a group once that it misses something.
func (w *worker) flood(p *part) {
	if slices.Contains(w.stale, p) {
		return
	}
	w.stale = append(w.stale, p)
	w.pending = append(w.pending, op{kind: opPost, part: p, frame: wire.TextFrame(wire.ResyncPayload(p.group.name, "flood"))})
}

// run does what was taken, and what is pending until nothing is.
func (w *worker) run(ops []op) {
	deepen(0)
	for ok := true; ok; ops, ok = w.take() {
		w.do(ops)
	}
}

// take takes what is pending. If that is nothing, who runs the worker must stop.
func (w *worker) take() (ops []op, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ops = w.pending
	if len(ops) == 0 {
		w.running = false
		if w.ended != nil {
			close(w.ended)
			w.ended = nil
		}
		return nil, false
	}
	w.pending, w.spare, w.bytes, w.stale = w.spare, nil, 0, nil
	return ops, true
}

// spare empties a list for the next time, or lets go of it.
func spare[T any](list []T) []T {
	if cap(list) > maxSpare {
		return nil
	}
	clear(list)
	return list[:0]
}

// do has two ways: what is for the same members all along is put together once,
// anything else for each connection.
func (w *worker) do(ops []op) {
	if len(ops) == 0 {
		return
	}
	if ops[0].kind == opPost && samePart(ops) {
		w.broadcast(ops)
	} else {
		w.scatter(ops)
	}
	w.spare = spare(ops)
}

func samePart(ops []op) bool {
	for _, o := range ops[1:] {
		if o.kind != opPost || o.part != ops[0].part {
			return false
		}
	}
	return true
}

// broadcast writes the same bytes to all members.
func (w *worker) broadcast(ops []op) {
	members := ops[0].part.members
	w.hub.counters.delivered.Add(uint64(len(ops) * len(members)))
	for len(ops) > 0 {
		size := 0
		for len(ops) > 0 && (size == 0 || size+len(ops[0].frame) <= segment) {
			size += len(ops[0].frame)
			w.list.frames = append(w.list.frames, ops[0].frame)
			ops = ops[1:]
		}
		w.join()
		for _, c := range members {
			w.write(c)
		}
		w.list.reset()
	}
}

// join puts the bytes of the list together.
func (w *worker) join() {
	if len(w.list.frames) == 1 {
		w.list.joined = w.list.frames[0]
		return
	}
	w.joined = w.joined[:0]
	for _, f := range w.list.frames {
		w.joined = append(w.joined, f...)
	}
	w.list.joined = w.joined
}

func (w *worker) write(c *Conn) {
	c.out.write(&w.list)
	if w.writes++; w.writes%yieldEvery == 0 {
		runtime.Gosched()
	}
}
