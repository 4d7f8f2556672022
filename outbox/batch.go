package outbox

import (
	"bytes"
	"errors"
	"slices"
	"strconv"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/wire"
)

const (
	// version is the first byte of a batch. A relay of another version makes resyncs of it.
	version = '1'

	// maxBatchBytes is the size of the largest batch. In place of a larger one its groups are
	// told to load their snapshots again. Databases bound the size of a statement.
	maxBatchBytes = 1 << 20

	// maxResyncs is the number of groups that get a resync each. If there are more, all groups
	// get one.
	maxResyncs = 1000
)

// encode encodes the messages of a commit: "1" and then, for each, its stream and its payload,
// with their lengths.
func encode(messages []broker.Message) []byte {
	size := 1
	for i := range messages {
		size += len(messages[i].Stream) + len(messages[i].Payload) + 12
	}
	if size > maxBatchBytes {
		messages = resyncs(streamsOf(messages), wire.ReasonRows)
	}
	b := append(make([]byte, 0, min(size, maxBatchBytes)), version)
	for i := range messages {
		b = appendString(b, messages[i].Stream)
		b = appendString(b, messages[i].Payload)
	}
	return b
}

func appendString[T string | []byte](b []byte, s T) []byte {
	b = append(strconv.AppendInt(b, int64(len(s)), 10), ':')
	return append(b, s...)
}

var errMalformed = errors.New("the row is malformed, or was written by a later version of the package")

// decode returns the messages of a row. They share its memory. An empty batch has none.
func decode(batch []byte) (messages []broker.Message, err error) {
	if len(batch) == 0 {
		return nil, nil
	}
	if batch[0] != version {
		return nil, errMalformed
	}
	for rest := batch[1:]; len(rest) > 0; {
		var stream, payload []byte
		if stream, rest, err = cutString(rest); err != nil {
			return nil, err
		}
		if payload, rest, err = cutString(rest); err != nil {
			return nil, err
		}
		messages = append(messages, broker.Message{Stream: string(stream), Payload: payload})
	}
	return messages, nil
}

func cutString(b []byte) (s, rest []byte, err error) {
	const digits = 10
	length, _, found := bytes.Cut(b[:min(len(b), digits+1)], []byte{':'})
	n, err := strconv.ParseUint(string(length), 10, 32)
	if b = b[min(len(b), len(length)+1):]; !found || err != nil || n > uint64(len(b)) {
		return nil, nil, errMalformed
	}
	return b[:n:n], b[n:], nil
}

// streamsOf returns the streams of messages, each once.
func streamsOf(messages []broker.Message) (streams []string) {
	for i := range messages {
		streams = append(streams, messages[i].Stream)
	}
	slices.Sort(streams)
	return slices.Compact(streams)
}

// resyncs returns the messages that tell groups, or patterns of groups, to load their
// snapshots again.
func resyncs(streams []string, reason string) (messages []broker.Message) {
	if len(streams) > maxResyncs {
		streams = []string{wire.AnyGroup}
	}
	for _, stream := range streams {
		payload := wire.ResyncPayload(stream, reason)
		if !wire.ValidGroup(stream) {
			payload = wire.ResyncObject(reason) // of a pattern
		}
		messages = append(messages, broker.Message{Stream: stream, Payload: payload})
	}
	return messages
}

// asResyncs replaces a batch by resyncs of its groups.
func asResyncs(batch []byte, reason string) []byte {
	messages, err := decode(batch)
	if err != nil {
		return encode(resyncs([]string{wire.AnyGroup}, reason))
	}
	return encode(resyncs(streamsOf(messages), reason))
}
