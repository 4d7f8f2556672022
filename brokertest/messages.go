package brokertest

import (
	"slices"

	"github.com/rohrpost/rohrpost/broker"
)

// text returns a message without an ID.
func text(stream, payload string) broker.Message {
	return broker.Message{Stream: stream, Payload: []byte(payload)}
}

// withID returns a message with an ID.
func withID(stream, id, payload string) broker.Message {
	return broker.Message{Stream: stream, ID: id, Payload: []byte(payload)}
}

// plain returns a message without a position.
func plain(stream, payload string) broker.Message {
	return broker.Message{Stream: stream, Payload: []byte(payload), Plain: true}
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

// payloads returns a slice that is never nil, as do offsets and sequence: assert.Equal
// tells nil from an empty slice.
func payloads(messages []broker.Message) []string {
	texts := []string{}
	for _, m := range messages {
		texts = append(texts, string(m.Payload))
	}
	return texts
}

func offsets(messages []broker.Message) []uint64 {
	numbers := []uint64{}
	for _, m := range messages {
		numbers = append(numbers, m.Offset)
	}
	return numbers
}

// sequence returns n numbers that count up from first.
func sequence(first uint64, n int) []uint64 {
	numbers := []uint64{}
	for i := range n {
		numbers = append(numbers, first+uint64(i))
	}
	return numbers
}
