package rohrpost

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rohrpost/rohrpost/internal/wire"
)

// maxDrain is about how many bytes of a backlog are written at once.
const maxDrain = 64 << 10

// outlet is how frames get into the socket of one connection. Its worker writes
// what the socket takes without waiting. The rest is handed aside: a goroutine
// writes it that exists only as long as there is some.
type outlet struct {
	// A write looks at one cache line of its connection: this one.
	try    tryFunc // nil: this socket may wait
	conn   *Conn
	socket net.Conn
	direct atomic.Int64 // bytes of frames for this connection alone that are pending

	mu       sync.Mutex // guards what follows
	draining bool       // the goroutine exists
	dead     bool       // nothing more is written
	bytes    int        // of the backlog, and being written from it
	backlog  []chunk
}

// tryFunc writes what a socket takes without waiting: it may be nothing.
type tryFunc func(p []byte) (n int, err error)

// outgoing are frames for a connection.
type outgoing struct {
	frames   []wire.Frame
	joined   []byte // the same bytes, in one piece
	farewell bool   // the last one is it
}

// chunk is a frame, or the rest of one, in a backlog.
type chunk struct {
	bytes    []byte
	since    time.Time // it waits
	rest     bool      // its beginning is written already
	farewell bool
}

func (l *outgoing) reset() {
	clear(l.frames)
	l.frames, l.joined, l.farewell = l.frames[:0], nil, false
}

// write is called by the worker only.
func (o *outlet) write(l *outgoing) {
	o.mu.Lock()
	busy, dead := o.draining, o.dead
	overflow := false
	if busy && !dead {
		o.append(l, 0)
		overflow = over(o.bytes, o.conn.hub.config.SendQueueBytes)
	}
	o.mu.Unlock()
	switch {
	case overflow:
		o.conn.endSlow()
	case !busy && !dead:
		o.writeNow(l)
	}
}

func (o *outlet) writeNow(l *outgoing) {
	n := 0
	if o.try != nil {
		var err error
		if n, err = o.try(l.joined); err != nil {
			o.conn.cut()
			return
		}
	}
	if n == len(l.joined) {
		if l.farewell {
			o.conn.parted(true)
		}
		return
	}
	o.mu.Lock()
	o.append(l, n)
	start := !o.dead
	o.draining = start
	overflow := over(o.bytes, o.conn.hub.config.SendQueueBytes)
	if start {
		o.conn.tasks.Go(o.drain)
	}
	o.mu.Unlock()
	if overflow {
		o.conn.endSlow()
	}
}

// append puts into the backlog what of the list is not written yet.
func (o *outlet) append(l *outgoing, written int) {
	now := time.Now()
	for i, f := range l.frames {
		if written >= len(f) {
			written -= len(f)
			continue
		}
		o.backlog = append(o.backlog, chunk{
			bytes: f[written:], since: now, rest: written > 0, farewell: l.farewell && i == len(l.frames)-1,
		})
		o.bytes += len(f) - written
		written = 0
	}
}

// drain writes the backlog, and waits for the socket.
func (o *outlet) drain() {
	var joined []byte
	for {
		c, ok := o.next(&joined)
		if !ok {
			return
		}
		if o.conn.tooOld(c.since) {
			o.conn.endSlow()
		}
		_ = o.socket.SetWriteDeadline(o.conn.writeDeadline()) // an error comes with the write
		_, err := o.socket.Write(c.bytes)
		o.mu.Lock()
		o.bytes -= len(c.bytes)
		o.mu.Unlock()
		switch {
		case err != nil:
			o.conn.stalled(err)
		case c.farewell:
			o.conn.parted(true)
		}
	}
}

// next takes some of the backlog. When there is none the goroutine must end.
func (o *outlet) next(joined *[]byte) (chunk, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.backlog) == 0 || o.dead {
		o.backlog, o.draining = nil, false
		_ = o.socket.SetWriteDeadline(time.Time{})
		return chunk{}, false
	}
	first, count := o.backlog[0], 1
	if len(first.bytes) < maxDrain && len(o.backlog) > 1 {
		*joined = append((*joined)[:0], first.bytes...)
		for _, c := range o.backlog[1:] {
			if len(*joined)+len(c.bytes) > maxDrain {
				break
			}
			*joined = append(*joined, c.bytes...)
			first.farewell = c.farewell
			count++
		}
		first.bytes = *joined
	}
	clear(o.backlog[:count])
	o.backlog = o.backlog[count:]
	return first, true
}

// takeBack empties the backlog, but for the farewell and the rest of a frame.
func (o *outlet) takeBack() {
	o.mu.Lock()
	defer o.mu.Unlock()
	kept := o.backlog[:0:0]
	for _, c := range o.backlog {
		if c.rest || c.farewell {
			kept = append(kept, c)
		} else {
			o.bytes -= len(c.bytes)
		}
	}
	o.backlog = kept
}

// waiting is how many bytes wait to be written.
func (o *outlet) waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bytes + int(o.direct.Load())
}

// kill ends all writing.
func (o *outlet) kill() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dead = true
}
