package fanout

import "github.com/rohrpost/rohrpost/internal/wire"

const (
	// segment is the bytes that one member is written before the next one, unless a frame
	// is larger: whatever waits, all members get it by and by, and can read meanwhile.
	segment = 256 << 10

	// overhead is what counts for each frame that waits, besides its bytes: about the
	// memory of its places in lists.
	overhead = 128
)

// outgoing are frames for a member.
type outgoing struct {
	frames []wire.Frame
	size   int      // of frames, with the overhead
	joined []byte   // the same bytes, in one piece
	labels []*label // of each frame
	close  bool     // the last frame is the close frame
}

// add appends a frame, unless a segment has no room for it beside others.
func (o *outgoing) add(f wire.Frame, l *label) bool {
	size := o.size + len(f) + overhead
	if o.size > 0 && size > segment {
		return false
	}
	o.frames, o.labels, o.size = append(o.frames, f), append(o.labels, l), size
	return true
}

func (o *outgoing) reset() {
	clear(o.frames)
	clear(o.labels)
	o.frames, o.labels, o.size, o.joined, o.close = o.frames[:0], o.labels[:0], 0, nil, false
}

// label says to which group a frame belongs, so that a revocation finds it in the send
// queue. nil is the label of frames of no group.
type label struct {
	group   string
	instead func() wire.Frame // returns the frame in place of one that is discarded; nil: none
}

func (l *label) matches(match func(group string) bool) bool { return l != nil && match(l.group) }

// substitute returns the frame in place of a frame that is discarded, nil for none.
func (l *label) substitute() wire.Frame {
	if l == nil || l.instead == nil {
		return nil
	}
	return l.instead()
}
