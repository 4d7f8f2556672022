package fanout

import "github.com/rohrpost/rohrpost/broker"

// sequencer passes the messages of a group to its members, each once and in order.
// A group has one, however many members it has. What the sequencer does not pass is
// in the history of the group, and the Engine reads it there: it fills the gap. A
// sequencer is guarded by the shard of its group.
type sequencer struct {
	at    broker.Position // of the latest message that passed
	sent  uint64          // no change after this offset, and up to at, was sent to the members
	ready chan struct{}   // closed when the sequencer opens; nil: it is open

	filling bool            // a task fills the gap
	ahead   broker.Position // the latest message that did not pass
	missed  uint            // how many messages did not pass
}

// verdict is what a sequencer says of a message.
type verdict int

const (
	inOrder verdict = iota
	duplicate
	gap // something before the message is missing
)

func newSequencer() sequencer { return sequencer{ready: make(chan struct{})} }

func (s *sequencer) isOpen() bool { return s.ready == nil }

// accept judges a message, given its position and the offset before it in the stream. The
// sequencer moves on to a message that is in order, before anything is done with it.
func (s *sequencer) accept(at broker.Position, before uint64) verdict {
	switch {
	case at.Offset == 0: // the group has no history
		return inOrder
	case s.ready == nil && at.Epoch == s.at.Epoch && at.Offset <= s.at.Offset:
		return duplicate
	case s.ready == nil && at.Epoch == s.at.Epoch && before <= s.at.Offset && !s.filling:
		s.at.Offset = at.Offset
		return inOrder
	}
	s.missed++
	if at.Epoch != s.ahead.Epoch || at.Offset > s.ahead.Offset {
		s.ahead = at
	}
	return gap
}

// open gives the sequencer its first position, and reports whether there is a gap
// already.
func (s *sequencer) open(at broker.Position) (gap bool) {
	s.moveTo(at)
	close(s.ready)
	s.ready = nil
	return s.missed > 0 && !s.covers(at)
}

// moveTo moves the sequencer to a position from which the members go on.
func (s *sequencer) moveTo(at broker.Position) { s.at, s.sent = at, at.Offset }

// covers reports whether the history up to a position has all messages that did not
// pass.
func (s *sequencer) covers(read broker.Position) bool {
	return s.ahead.Epoch == read.Epoch && s.ahead.Offset <= read.Offset
}
