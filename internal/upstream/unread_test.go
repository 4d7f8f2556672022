package upstream

import (
	"fmt"
	"testing"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/stretchr/testify/assert"
)

// TestUnreadMessagesAreCountedOnce delivers messages that the hub cannot read, and reads them
// from the history as pages that resume do.
func TestUnreadMessagesAreCountedOnce(t *testing.T) {
	r := newTestRemote(t, &fakeBroker{})
	r.Receiver = &noted{}
	unreadable := func(epoch string, offset uint64, payload string) broker.Message {
		return broker.Message{Stream: "g", Payload: []byte(payload), Position: broker.Position{Epoch: epoch, Offset: offset}}
	}
	later, unsigned := unreadable("e", 1, "\x03"), unreadable("e", 2, "\x01{}")
	r.codec.key = []byte("key")
	for range 3 {
		r.deliver([]broker.Message{later, unsigned})
		assert.Len(t, r.decoded([]broker.Message{later, unsigned}), 2, "each is a resync")
	}
	assert.EqualValues(t, 1, r.Foreign.Load())
	assert.EqualValues(t, 1, r.Skipped.Load())

	r.decoded([]broker.Message{unreadable("of another life", 1, "\x03")})
	assert.EqualValues(t, 2, r.Foreign.Load())
	signal := broker.Message{Stream: "g", Payload: []byte("\x03")}
	r.deliver([]broker.Message{signal, signal})
	assert.EqualValues(t, 4, r.Foreign.Load(), "signals have no position")

	for i := range 2 * maxUnread {
		m := unreadable("e", 1, "\x03")
		m.Stream = fmt.Sprint("g-", i)
		r.decoded([]broker.Message{m})
	}
	assert.EqualValues(t, 4+2*maxUnread, r.Foreign.Load())
	assert.LessOrEqual(t, len(r.unread.latest), maxUnread)
}
