package brokertest

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/rohrpost/rohrpost/broker"
)

func text(stream, payload string) broker.Message {
	return broker.Message{Stream: stream, Payload: []byte(payload)}
}

// flatten returns the messages of all batches, in order.
func flatten(batches [][]broker.Message) []broker.Message { return slices.Concat(batches...) }

// inStream returns the messages of one stream.
func inStream(stream string, messages []broker.Message) []broker.Message {
	var found []broker.Message
	for _, m := range messages {
		if m.Stream == stream {
			found = append(found, m)
		}
	}
	return found
}

// texts returns the payloads that are not empty: a broker may add empty messages. Its
// result is never nil, since assert.Equal tells nil from an empty slice.
func texts(messages []broker.Message) []string {
	found := []string{}
	for _, m := range messages {
		if len(m.Payload) > 0 {
			found = append(found, string(m.Payload))
		}
	}
	return found
}

// filled returns the messages that are not empty.
func filled(messages []broker.Message) []broker.Message {
	var found []broker.Message
	for _, m := range messages {
		if len(m.Payload) > 0 {
			found = append(found, m)
		}
	}
	return found
}

// offsets returns those of messages. Its result is never nil.
func offsets(messages []broker.Message) []uint64 {
	numbers := []uint64{}
	for _, m := range messages {
		numbers = append(numbers, m.Offset)
	}
	return numbers
}

// assertChain checks that messages of one stream are all that followed a position, by
// their Prev.
func assertChain(t *testing.T, after broker.Position, messages []broker.Message) bool {
	t.Helper()
	at := after
	for i, m := range messages {
		if !assert.Equal(t, at.Epoch, m.Epoch, "the epoch of message %d", i) ||
			!assert.Equal(t, at.Offset, m.Prev, "Prev of message %d is the offset before it", i) ||
			!assert.Greater(t, m.Offset, m.Prev, "message %d: offsets go up", i) {
			return false
		}
		at = m.Position
	}
	return true
}

// since returns the messages after an offset.
func since(offset uint64, messages []broker.Message) []broker.Message {
	for len(messages) > 0 && messages[0].Offset <= offset {
		messages = messages[1:]
	}
	return messages
}
