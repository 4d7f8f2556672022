package redisbroker

import (
	"testing"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/assert"

	"github.com/rohrpost/rohrpost/broker"
)

// FuzzFrame reads what anybody may have published.
func FuzzFrame(f *testing.F) {
	f.Add("3 1 s 1 e.1 1 7 3 abc2 8 0 ")
	f.Add("3 0 s 1 e.1 1 7 99 abc")
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := parseFrame("g", text)
		assert.Equal(t, err != nil, len(parsed.parts) == 0)
	})
}

// TestReceiver makes batches of the frames of several streams.
func TestReceiver(t *testing.T) {
	var batches [][]broker.Message
	r := &receiver{prefix: "c:", end: "end", deliver: func(batch []broker.Message) { batches = append(batches, batch) }}
	for _, m := range []rueidis.PubSubMessage{
		{Channel: "c:a", Message: "3 1 s 1 e 1 1 1 A3 2 1 C"},
		{Channel: "c:b", Message: "3 1 s 1 f 2 5 1 B"},
		{Channel: "end", Message: "s 1"},
		{Channel: "c:a", Message: "not a frame"},
		{Channel: "c:a", Message: "3 1 s 2 e 1 3 1 D"}, // its end does not come
		{Channel: "c:b", Message: "3 0 s 3 f 1 6 0 "},
		{Channel: "c:b", Message: "! signal"},
	} {
		r.receive(m)
	}
	r.stop()
	r.receive(rueidis.PubSubMessage{Channel: "c:b", Message: "! late"})
	at := func(stream, epoch string, offset uint64, payload string) broker.Message {
		return broker.Message{Stream: stream, Payload: []byte(payload), Position: broker.Position{Epoch: epoch, Offset: offset}, Prev: offset - 1}
	}
	assert.Equal(t, [][]broker.Message{
		{at("a", "e", 1, "A"), at("b", "f", 5, "B"), at("a", "e", 2, "C")},
		{at("a", "e", 3, "D")},
		{at("b", "f", 6, "")},
		{{Stream: "b", Payload: []byte("signal")}},
	}, batches)
}
