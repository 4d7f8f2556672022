package fanout

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rohrpost/rohrpost/internal/wire"
)

const (
	// maxDrain is about the bytes of a backlog that are joined.
	maxDrain = 64 << 10

	// maxSlice is the bytes of a backlog that are written at once. The deadline begins
	// anew with each slice, since some sockets do not tell what they have taken of one
	// that was not finished: TLS takes a record of this size or nothing.
	maxSlice = 16 << 10
)

// socketWriter writes frames to the socket of one member. The worker writes what the
// socket takes without waiting. The rest is the backlog: a goroutine writes it that
// exists only as long as there is one.
type socketWriter struct {
	// A write looks at one cache line of its member: this one.
	try    func(p []byte) (n int, err error) // writes without waiting; nil: this socket may wait
	member *Member
	socket net.Conn
	direct atomic.Int64 // what the frames for this member alone have reserved that are not written yet

	mu       sync.Mutex // guards what follows
	draining bool       // the goroutine exists
	stopped  bool       // nothing more is written
	closing  bool       // the worker has written the close frame, which nothing may follow
	bytes    int        // of the backlog, and being written from it
	backlog  []chunk
	pong     wire.Frame // the latest one, not written yet; the backlog has none
	ponging  bool       // the worker is to take it

	awaited atomic.Bool   // drained is not nil
	drained chan struct{} // closed when something was written; guarded by mu
}

// outgoing are frames for a member.
type outgoing struct {
	frames []wire.Frame
	size   int    // of frames, with the overhead
	joined []byte // the same bytes, in one piece
	close  bool   // the last frame is the close frame
}

// add appends a frame, unless a segment has no room for it beside others.
func (o *outgoing) add(f wire.Frame) bool {
	size := o.size + len(f) + overhead
	if o.size > 0 && size > segment {
		return false
	}
	o.frames, o.size = append(o.frames, f), size
	return true
}

// chunk is a frame, or the rest of one, in a backlog.
type chunk struct {
	bytes []byte
	since time.Time // it waits
	rest  bool      // its beginning is written already
	close bool      // it is the close frame
}

func (o *outgoing) reset() {
	clear(o.frames)
	o.frames, o.size, o.joined, o.close = o.frames[:0], 0, nil, false
}

func (s *socketWriter) init(m *Member, socket net.Conn, raw syscall.RawConn) {
	s.member, s.socket = m, socket
	if t, ok := socket.(TryWriter); ok {
		s.try = t.TryWrite
	} else if raw != nil {
		w := &m.worker.socket
		s.try = func(p []byte) (int, error) { return w.Write(raw, p) }
	}
}

// reserve counts a direct frame that is not written yet, and reports whether it fits
// into the send queue.
func (s *socketWriter) reserve(f wire.Frame) bool {
	return !exceeds(s.direct.Add(reserved(f)), s.member.engine.config.MaxSendQueueBytes)
}

// reserved is what counts for a frame.
func reserved(f wire.Frame) int64 { return int64(len(f) + overhead) }

// exceeds reports whether frames exceed the limit of a send queue. One frame may have its
// size.
func exceeds(bytes int64, limit int) bool { return limit >= 0 && bytes > int64(limit)+overhead }

// unreserve takes back reserve.
func (s *socketWriter) unreserve(bytes int64) {
	s.direct.Add(-bytes)
	s.signalDrain()
}

// setPong keeps a pong in place of an earlier one that is not written yet, as RFC 6455
// allows in section 5.5.3. It reports whether the worker is to take it; else that has been
// told already, or the backlog takes it.
func (s *socketWriter) setPong(f wire.Frame) (tell bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pong = f
	if s.draining || s.ponging {
		return false
	}
	s.ponging = true
	return true
}

// takePong returns the pong that the worker is to write, nil if the backlog takes it.
func (s *socketWriter) takePong() (f wire.Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ponging = false; !s.draining {
		f, s.pong = s.pong, nil
	}
	return f
}

// write is called by the worker only.
func (s *socketWriter) write(o *outgoing) {
	s.mu.Lock()
	busy, stopped := s.draining, s.stopped || s.closing
	s.closing = s.closing || o.close
	overflow := false
	if busy && !stopped {
		s.append(o, 0)
		overflow = s.overflows()
	}
	s.mu.Unlock()
	switch {
	case overflow:
		s.member.endSlow()
	case !busy && !stopped:
		s.writeNow(o)
	}
}

func (s *socketWriter) writeNow(o *outgoing) {
	n := 0
	if s.try != nil {
		var err error
		if n, err = s.try(o.joined); err != nil {
			s.member.Abort()
			return
		}
	}
	if n == len(o.joined) {
		if o.close {
			s.member.setFlushed(true)
		}
		return
	}
	s.mu.Lock()
	s.append(o, n)
	start := !s.stopped
	s.draining = start
	overflow := s.overflows()
	if start {
		s.member.drains.Go(s.drain)
	}
	s.mu.Unlock()
	if overflow {
		s.member.endSlow()
	}
}

func (s *socketWriter) overflows() bool {
	return exceeds(int64(s.queued()), s.member.engine.config.MaxSendQueueBytes)
}

// queued returns what counts of the backlog.
func (s *socketWriter) queued() int { return s.bytes + overhead*len(s.backlog) }

// append appends to the backlog what is not written yet.
func (s *socketWriter) append(o *outgoing, written int) {
	now := time.Now()
	for i, f := range o.frames {
		if written >= len(f) {
			written -= len(f)
			continue
		}
		s.backlog = append(s.backlog, chunk{
			bytes: f[written:], since: now, rest: written > 0, close: o.close && i == len(o.frames)-1,
		})
		s.bytes += len(f) - written
		written = 0
	}
}

// drain writes the backlog, and waits for the socket.
func (s *socketWriter) drain() {
	var joined []byte
	for {
		c, ok := s.next(&joined)
		if !ok {
			return
		}
		if s.member.tooOld(c.since) {
			s.member.endSlow()
		}
		switch rest, err := s.writeSlices(c.bytes); {
		case err != nil:
			s.taken(rest)
			s.member.writeFailed(errors.Is(err, os.ErrDeadlineExceeded))
		case c.close:
			s.member.setFlushed(true)
		}
	}
}

// writeSlices writes as long as the socket takes something in time, and returns how many
// bytes are left.
func (s *socketWriter) writeSlices(p []byte) (rest int, err error) {
	for len(p) > 0 {
		_ = s.socket.SetWriteDeadline(s.member.writeDeadline()) // an error comes with the write
		n, err := s.socket.Write(p[:min(len(p), maxSlice)])
		p = p[n:]
		s.taken(n)
		if n > 0 && len(p) > 0 {
			s.member.owner.Taken()
		}
		if err != nil && (n == 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
			return len(p), err
		}
	}
	return 0, nil
}

// taken counts bytes of the backlog that are written, or given up.
func (s *socketWriter) taken(bytes int) {
	s.mu.Lock()
	s.bytes -= bytes
	s.mu.Unlock()
	s.signalDrain()
}

// next takes some of the backlog. When there is none, the goroutine must end.
func (s *socketWriter) next(joined *[]byte) (chunk, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pong := s.pong
	if s.pong = nil; s.stopped || s.closing {
		pong = nil
	}
	if pong != nil && len(s.backlog) == 0 {
		s.bytes += len(pong)
		return chunk{bytes: pong, since: time.Now()}, true
	}
	if len(s.backlog) == 0 || s.stopped {
		s.backlog, s.draining = nil, false
		_ = s.socket.SetWriteDeadline(time.Time{})
		return chunk{}, false
	}
	first, count := s.backlog[0], 1
	if pong != nil || len(first.bytes) < maxDrain && len(s.backlog) > 1 {
		*joined = append((*joined)[:0], first.bytes...)
		*joined = append(*joined, pong...) // after the rest of a frame, before what may be much
		s.bytes += len(pong)
		for _, c := range s.backlog[1:] {
			if len(*joined)+len(c.bytes) > maxDrain {
				break
			}
			*joined = append(*joined, c.bytes...)
			first.close = c.close
			count++
		}
		first.bytes = *joined
	}
	clear(s.backlog[:count])
	s.backlog = s.backlog[count:]
	return first, true
}

// discard empties the backlog, except for the close frame and the rest of a frame.
func (s *socketWriter) discard() {
	s.mu.Lock()
	kept := s.backlog[:0:0]
	for _, c := range s.backlog {
		if c.rest || c.close {
			kept = append(kept, c)
		} else {
			s.bytes -= len(c.bytes)
		}
	}
	s.backlog = kept
	s.mu.Unlock()
	s.signalDrain()
}

// awaitDrain waits until at most limit bytes wait to be written, or until ctx ends.
func (s *socketWriter) awaitDrain(ctx context.Context, limit int) {
	for ctx.Err() == nil {
		drained := s.awaitSignal()
		if !over(s.waiting(), limit) {
			return
		}
		select {
		case <-drained:
		case <-ctx.Done():
		}
	}
}

// awaitSignal asks for a signal. A caller must ask before it looks at what waits:
// else a write in between could go unnoticed.
func (s *socketWriter) awaitSignal() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drained == nil {
		s.drained = make(chan struct{})
		s.awaited.Store(true)
	}
	return s.drained
}

// signalDrain wakes those that wait for a write.
func (s *socketWriter) signalDrain() {
	if !s.awaited.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drained != nil {
		close(s.drained)
		s.drained = nil
		s.awaited.Store(false)
	}
}

// hasBacklog reports whether the client has yet to read something before it gets more.
func (s *socketWriter) hasBacklog() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining && !s.member.Ended()
}

// waiting returns the bytes that wait to be written.
func (s *socketWriter) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queued() + int(s.direct.Load())
}

// stop ends all writing.
func (s *socketWriter) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
}
