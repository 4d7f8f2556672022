package fanout

import (
	"math"
	"slices"
	"sync"

	"github.com/rohrpost/rohrpost/internal/sockio"
)

const (
	// maxInline is what a caller writes itself, in small writes: to start a goroutine costs
	// as much as a few of them.
	maxInline = 8

	// maxPublisher is what a publisher writes itself, where that is all that is to be written. It
	// has something to do afterwards, such as to answer the request that has written the row.
	maxPublisher = 1

	// inlineRuns is how often callers run a worker until a goroutine does, which sees whether
	// much comes at a time.
	inlineRuns = 64

	// muchToWrite is from how many small writes on all workers may run at once. Below it
	// one processor is left to those that publish and read: what they do meanwhile leaves
	// together.
	muchToWrite = 2000

	// someToWrite is the same where messages come one at a time: then nothing would leave
	// together.
	someToWrite = 500

	// smallWrite is about the bytes whose writing costs twice as much as that of a byte.
	smallWrite = 8 << 10
)

// runners lets goroutines run the workers that have something to do, one round after
// another. Which goroutine runs a worker does not matter to it: there is one at a time.
type runners struct {
	procs int // processors

	mu      sync.Mutex // guards what follows
	ready   []*worker  // that wait to be run, longest first
	running []run      // by goroutines
	count   int        // goroutines
	spare   []*sockio.Yielder
}

// run is a worker that a goroutine runs, and how many small writes it began with.
type run struct {
	worker *worker
	writes int64
}

// add makes a worker wait to be run. The caller calls start or work afterwards.
func (r *runners) add(w *worker) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ready = append(r.ready, w)
}

// start makes sure that goroutines run the workers.
func (r *runners) start() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for n := min(len(r.running)+len(r.ready), r.limit()); r.count < n; r.count++ {
		go r.run()
	}
}

// limit returns how many goroutines may run workers.
func (r *runners) limit() int {
	writes, much := int64(0), int64(someToWrite)
	for _, w := range r.ready {
		if writes += w.cost.Load(); w.crowded.Load() > 0 {
			much = muchToWrite
		}
	}
	for _, now := range r.running {
		writes += now.writes + now.worker.cost.Load()
	}
	if writes > much {
		return r.procs
	}
	return max(1, r.procs-1)
}

// publish is start for a publisher without locks, which writes to a single member itself:
// to wake another processor for that costs more.
func (r *runners) publish() {
	if w := r.takeOnly(maxPublisher); w != nil {
		w.round(nil, maxPublisher)
	}
	r.start()
}

// takeOnly takes the worker that waits, if that is the only one and has little to do.
func (r *runners) takeOnly(budget int64) *worker {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.ready) != 1 || !r.ready[0].isSmall(budget) {
		return nil
	}
	w := r.ready[0]
	r.ready = slices.Delete(r.ready, 0, 1)
	return w
}

// work runs workers on the goroutine of the caller as far as that costs no more than the budget,
// in small writes, and never waits. It makes sure that goroutines do the rest. It must not be
// called with a lock.
func (r *runners) work(budget int64) {
	for {
		w := r.takeSmall(budget)
		if w == nil {
			break
		}
		budget -= w.round(nil, budget)
	}
	r.start()
}

// takeSmall takes a worker that has little to do.
func (r *runners) takeSmall(budget int64) *worker {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, w := range r.ready {
		if w.isSmall(budget) {
			r.ready = slices.Delete(r.ready, i, i+1)
			return w
		}
	}
	return nil
}

// run runs workers until none waits.
func (r *runners) run() {
	GrowStack(0)
	w, y := r.take(nil, nil)
	for w != nil {
		w.round(y, math.MaxInt64)
		w, y = r.take(w, y)
	}
}

// take takes a worker after the one that was run, and what lets others run meanwhile. If
// there is none, the goroutine must end.
func (r *runners) take(last *worker, y *sockio.Yielder) (*worker, *sockio.Yielder) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running = slices.DeleteFunc(r.running, func(past run) bool { return past.worker == last })
	if len(r.ready) == 0 {
		if r.count--; y != nil {
			r.spare = append(r.spare, y)
		}
		return nil, nil
	}
	if last := len(r.spare) - 1; y == nil && last >= 0 {
		y, r.spare = r.spare[last], r.spare[:last]
	}
	if y == nil {
		y = &sockio.Yielder{}
	}
	y.Poll = r.count >= r.procs
	w := r.ready[0]
	r.ready = slices.Delete(r.ready, 0, 1)
	r.running = append(r.running, run{w, w.cost.Load()})
	return w, y
}

// close frees what the goroutines have left.
func (r *runners) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, y := range r.spare {
		y.Close()
	}
	r.spare = nil
}
