package fanout

import (
	"slices"
	"time"

	"github.com/rohrpost/rohrpost/internal/wire"
)

// maxSlice is the bytes of a backlog that are written at once. The deadline begins anew
// with each slice, since some sockets do not tell what they have taken of one that was not
// finished: TLS takes a record of this size or nothing.
const maxSlice = 16 << 10

// backlog is what a socket has not taken yet. Its first chunks may be flying: they are being
// written, and stay until land. The zero value is empty. It is for one goroutine at a time.
type backlog struct {
	chunks []chunk
	bytes  int           // of chunks
	flying int           // chunks, the first ones
	landed chan struct{} // closed when none is flying any more; nil: nobody waits
}

// chunk is a frame, or the rest of one, in a backlog.
type chunk struct {
	bytes   []byte
	since   time.Time // it waits
	label   *label    // nil: it is of no group
	rest    bool      // its beginning is written already
	close   bool      // it is the close frame
	revoked bool      // it is discarded unless its beginning gets written
}

// queued returns what counts of the backlog.
func (b *backlog) queued() int { return b.bytes + overhead*len(b.chunks) }

// append appends what is not written yet.
func (b *backlog) append(o *outgoing, written int) {
	now := time.Now()
	for i, f := range o.frames {
		if written >= len(f) {
			written -= len(f)
			continue
		}
		b.chunks = append(b.chunks, chunk{
			bytes: f[written:], since: now, label: o.labels[i], rest: written > 0, close: o.close && i == len(o.frames)-1,
		})
		b.bytes += len(f) - written
		written = 0
	}
}

// insertPong puts a pong after what may be the rest of a frame, before what may be much.
func (b *backlog) insertPong(pong wire.Frame) {
	b.chunks = slices.Insert(b.chunks, min(1, len(b.chunks)), chunk{bytes: pong, since: time.Now()})
	b.bytes += len(pong)
}

// takeOff returns the first bytes, and since when they wait. joined is a buffer for several
// chunks. The backlog is not empty.
func (b *backlog) takeOff(joined *[]byte) (p []byte, since time.Time) {
	first := &b.chunks[0]
	p, b.flying = first.bytes[:min(len(first.bytes), maxSlice)], 1
	if len(p) < maxSlice && len(b.chunks) > 1 {
		*joined = append((*joined)[:0], p...)
		for _, c := range b.chunks[1:] {
			if len(*joined)+len(c.bytes) > maxSlice {
				break
			}
			*joined = append(*joined, c.bytes...)
			b.flying++
		}
		p = *joined
	}
	return p, first.since
}

// land removes what was written, and what was revoked while it was being written and is not
// begun. It reports whether more waits, and whether the close frame was written.
func (b *backlog) land(written int) (more, closed bool) {
	b.bytes -= written
	flown := b.chunks[:b.flying]
	for len(flown) > 0 && written >= len(flown[0].bytes) {
		written -= len(flown[0].bytes)
		closed = closed || flown[0].close
		flown[0] = chunk{}
		flown = flown[1:]
	}
	if written > 0 {
		c := &flown[0]
		c.bytes, c.since, c.rest = c.bytes[written:], time.Now(), true
	}
	b.chunks = b.chunks[b.flying-len(flown):]
	b.flying = 0
	if slices.ContainsFunc(flown, func(c chunk) bool { return c.revoked }) {
		b.keep(func(c *chunk) bool { return !c.revoked })
	}
	if b.landed != nil {
		close(b.landed)
		b.landed = nil
	}
	return len(b.chunks) > 0, closed
}

// keep discards the chunks for which wanted does not hold, except the close frame and the
// rest of a frame. What is being written is marked.
func (b *backlog) keep(wanted func(c *chunk) bool) {
	kept := b.chunks[:0]
	for i := range b.chunks {
		c := b.chunks[i]
		switch {
		case c.rest || c.close || wanted(&c):
		case i < b.flying:
			c.revoked = true
		default:
			b.bytes -= len(c.bytes)
			if c.bytes = c.label.substitute(); c.bytes == nil {
				continue
			}
			b.bytes += len(c.bytes)
			c.label, c.revoked = nil, false
		}
		kept = append(kept, c)
	}
	clear(b.chunks[len(kept):])
	b.chunks = kept
}

// discard empties the backlog, except for the close frame and the rest of a frame.
func (b *backlog) discard() {
	for i := range b.chunks {
		b.chunks[i].label = nil // no reply is needed any more
	}
	b.keep(func(*chunk) bool { return false })
}

// revoke discards what has a label that matches.
func (b *backlog) revoke(match func(group string) bool) {
	b.keep(func(c *chunk) bool { return !c.revoked && !c.label.matches(match) })
}

// awaitLanding returns a channel that is closed when what is being written has been
// written, nil if nothing is.
func (b *backlog) awaitLanding() <-chan struct{} {
	if b.flying > 0 && b.landed == nil {
		b.landed = make(chan struct{})
	}
	return b.landed
}
