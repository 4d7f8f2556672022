package history

import (
	"container/list"
	"crypto/rand"
	"time"

	"github.com/rohrpost/rohrpost/broker"
)

// stream is the latest messages under one key. It is guarded by its shard.
type stream struct {
	key         string
	at          broker.Position // of the latest message
	subscribers int
	kept        []kept // the latest messages, up to at
	bytes       int    // of kept, with the overhead

	keeping *list.Element // its place among the streams that keep messages; nil: it keeps none
	unused  *list.Element // its place among the streams without subscribers; nil: it has some
	among   *list.List    // in which unused is
	until   time.Duration // when it expires without subscribers
}

// kept is a message that a stream keeps.
type kept struct {
	payload []byte
	at      time.Duration
}

// epochSize is the length of an epoch: 100 random bits.
const epochSize = 20

func newStream(key string) *stream {
	return &stream{key: key, at: broker.Position{Epoch: rand.Text()[:epochSize]}}
}

// drop drops the oldest messages and returns their bytes.
func (s *stream) drop(count int) (bytes int) {
	for i := range count {
		bytes += len(s.kept[i].payload) + overhead
		s.kept[i] = kept{}
	}
	s.bytes -= bytes
	if s.kept = s.kept[count:]; len(s.kept) == 0 {
		s.kept = nil
	}
	return bytes
}

// excess returns how many of the oldest messages exceed the limits.
func (s *stream) excess(limits Limits, now time.Duration) (count int) {
	bytes := s.bytes
	for i := range s.kept {
		old := limits.MaxAge >= 0 && now-s.kept[i].at > limits.MaxAge
		if !old && !over(len(s.kept)-count, limits.MaxMessages) && !over(bytes, limits.MaxBytes) {
			break
		}
		bytes -= len(s.kept[i].payload) + overhead
		count++
	}
	return count
}

// after returns the kept messages after an offset, limit at most.
func (s *stream) after(offset uint64, limit int) []broker.Message {
	before := s.at.Offset - uint64(len(s.kept)) // the offset before the first one
	from := uint64(0)
	if offset > before {
		from = min(offset-before, uint64(len(s.kept)))
	}
	rest := s.kept[from:]
	rest = rest[:max(0, min(limit, len(rest)))]
	messages := make([]broker.Message, len(rest))
	for i, k := range rest {
		prev := before + from + uint64(i)
		at := broker.Position{Epoch: s.at.Epoch, Offset: prev + 1}
		messages[i] = broker.Message{Stream: s.key, Payload: k.payload, Position: at, Prev: prev}
	}
	return messages
}
