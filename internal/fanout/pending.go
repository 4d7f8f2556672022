package fanout

import (
	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// What is buffered for a pending subscription. Anything beyond it is read from the
// history.
const (
	maxBuffered      = 256
	maxBufferedBytes = 1 << 20
)

// pendingSubscription buffers the changes that a group receives while a subscription
// reads the snapshot or the history. It is guarded by the shard of the group.
type pendingSubscription struct {
	buffered   []post
	bytes      int
	incomplete bool // something was not buffered
}

func (s *pendingSubscription) buffer(p *post) {
	if s.incomplete {
		return
	}
	s.bytes += len(p.payload)
	if len(s.buffered) == maxBuffered || s.bytes > maxBufferedBytes {
		s.overflow()
		return
	}
	s.buffered = append(s.buffered, *p)
}

// overflow drops the buffer, which from now on is incomplete.
func (s *pendingSubscription) overflow() { *s = pendingSubscription{incomplete: true} }

// post is a message on its way to a group.
type post struct {
	group   string
	payload []byte          // empty: the message only moves the position
	at      broker.Position // zero: the group has no history
	before  uint64          // the offset before it in the stream

	frame wire.Frame // nil: it has yet to be made
	prev  uint64     // in the frame: the offset of the change that was sent before
}

func postOf(m *broker.Message) post {
	return post{group: m.Stream, payload: m.Payload, at: m.Position, before: m.Prev}
}

// isEmpty reports whether the message only moves the position.
func (p *post) isEmpty() bool { return len(p.payload) == 0 }
