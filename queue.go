package rohrpost

import (
	"sync"
	"time"
)

// queue is what waits to be written to one connection. Its lock is held for an
// append or a removal and never while anything else happens: who puts something
// in and is told so calls wakeUp after all locks are released.
type queue struct {
	limit int
	wake  chan struct{} // holds one signal for the writer

	mu      sync.Mutex
	frames  []frame
	bytes   int  // queued and being written
	awake   bool // the writer has a signal, or has not looked since
	pong    []byte
	ponging bool
	ending  *farewell
}

// farewell is how a connection ends: with a close frame, written by a deadline.
type farewell struct {
	code   int
	reason string
	by     time.Time // zero: no deadline
}

// pushed is what became of a frame.
type pushed struct {
	taken    bool // it is in the queue
	wake     bool // the caller has to call wakeUp
	overflow bool // the queue was full: the caller has to end the connection
}

// outgoing is the next thing for the writer: a frame, a pong or the farewell.
type outgoing struct {
	frame    frame
	pong     bool
	data     []byte // of the pong
	farewell *farewell
}

func newQueue(limit int) queue {
	return queue{limit: limit, wake: make(chan struct{}, 1)}
}

// push appends f. It never waits.
func (q *queue) push(f frame) pushed {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ending != nil {
		return pushed{}
	}
	if over(q.bytes+len(f.payload), q.limit) {
		return pushed{overflow: true}
	}
	q.frames = append(q.frames, f)
	q.bytes += len(f.payload)
	return pushed{taken: true, wake: q.rouse()}
}

// answerPing sets the pong to be sent. Only the last one is: so many pings cost
// no more than one.
func (q *queue) answerPing(data string) (wake bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pong, q.ponging = []byte(data), true
	return q.rouse()
}

// end takes no more frames and lets the writer say farewell after those that
// wait or, with drop, instead of them. Only the first farewell counts.
func (q *queue) end(f farewell, drop bool) (first bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if drop {
		q.frames = nil
	}
	if q.ending != nil {
		return false
	}
	q.ending = &f
	q.rouse()
	return true
}

// rouse reports whether the writer needs a signal, and takes it for given.
func (q *queue) rouse() bool {
	needed := !q.awake
	q.awake = true
	return needed
}

// wakeUp signals the writer.
func (q *queue) wakeUp() {
	select {
	case q.wake <- struct{}{}:
	default: // there is a signal already
	}
}

// next removes what is to be written next, and reports whether there is any.
func (q *queue) next() (outgoing, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.ponging:
		q.ponging = false
		return outgoing{pong: true, data: q.pong, farewell: q.ending}, true
	case len(q.frames) > 0:
		f := q.frames[0]
		q.frames[0] = frame{}
		if q.frames = q.frames[1:]; len(q.frames) == 0 {
			q.frames = nil // an idle connection keeps no buffer
		}
		return outgoing{frame: f, farewell: q.ending}, true
	case q.ending != nil:
		return outgoing{farewell: q.ending}, true
	}
	q.awake = false
	return outgoing{}, false
}

// written gives the room of f back.
func (q *queue) written(f frame) {
	q.mu.Lock()
	q.bytes -= len(f.payload)
	q.mu.Unlock()
}
