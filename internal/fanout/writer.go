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
	backlog  backlog
	pong     wire.Frame // the latest one, not written yet; the backlog has none
	ponging  bool       // the worker is to take it

	awaited atomic.Bool   // drained is not nil
	drained chan struct{} // closed when something was written; guarded by mu
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
	s.member.engine.countQueued(int(reserved(f)))
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
	return exceeds(int64(s.backlog.queued()), s.member.engine.config.MaxSendQueueBytes)
}

// append appends to the backlog what is not written yet.
func (s *socketWriter) append(o *outgoing, written int) {
	before := s.backlog.queued()
	s.backlog.append(o, written)
	s.member.engine.countQueued(s.backlog.queued() - before)
}

// drain writes the backlog, and waits for the socket.
func (s *socketWriter) drain() {
	var joined []byte
	for {
		p, since, ok := s.takeOff(&joined)
		if !ok {
			return
		}
		if s.member.tooOld(since) {
			s.member.endSlow()
		}
		_ = s.socket.SetWriteDeadline(s.member.writeDeadline()) // an error comes with the write
		n, err := s.socket.Write(p)
		if n > 0 && errors.Is(err, os.ErrDeadlineExceeded) {
			err = nil // the client has taken something in time
		}
		if err != nil {
			n = len(p) // given up
		}
		more, closed := s.land(n)
		switch {
		case err != nil:
			s.member.writeFailed(errors.Is(err, os.ErrDeadlineExceeded))
		case closed:
			s.member.setFlushed(true)
		case more:
			s.member.owner.Taken()
		}
	}
}

// takeOff returns the first bytes of the backlog, and since when they wait. When there are
// none, the goroutine must end.
func (s *socketWriter) takeOff(joined *[]byte) (p []byte, since time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pong != nil && !s.stopped && !s.closing {
		s.backlog.insertPong(s.pong)
	}
	s.pong = nil
	if len(s.backlog.chunks) == 0 || s.stopped {
		s.backlog.chunks, s.draining = nil, false
		_ = s.socket.SetWriteDeadline(time.Time{})
		return nil, since, false
	}
	p, since = s.backlog.takeOff(joined)
	return p, since, true
}

// land removes from the backlog what was written. It reports whether more waits, and
// whether the close frame was written.
func (s *socketWriter) land(written int) (more, closed bool) {
	s.mu.Lock()
	more, closed = s.backlog.land(written)
	s.mu.Unlock()
	s.signalDrain()
	return more, closed
}

// discard empties the backlog, except for the close frame and the rest of a frame.
func (s *socketWriter) discard() {
	s.mu.Lock()
	s.backlog.discard()
	s.mu.Unlock()
	s.signalDrain()
}

// revoke discards what of the backlog has a label that matches.
func (s *socketWriter) revoke(match func(group string) bool) {
	s.mu.Lock()
	s.backlog.revoke(match)
	s.mu.Unlock()
	s.signalDrain()
}

// awaitLanding waits until what is being written has been written, or until ctx ends.
func (s *socketWriter) awaitLanding(ctx context.Context) error {
	s.mu.Lock()
	landed := s.backlog.awaitLanding()
	s.mu.Unlock()
	if landed == nil {
		return nil
	}
	select {
	case <-landed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
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
	return s.backlog.queued() + int(s.direct.Load())
}

// stop ends all writing.
func (s *socketWriter) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
}
