package rohrpost

import (
	"container/list"
	"crypto/rand"
	"time"
)

// stream is what Memory knows of one. It is guarded by its shard.
type stream struct {
	key         string
	epoch       string
	offset      uint64 // of the latest message
	subscribers int
	kept        []kept // the latest messages, up to offset
	bytes       int    // of them

	quiet *list.Element // its place among those that keep something; nil: it keeps nothing
	left  *list.Element // its place among those without subscribers; nil: it has some
	until time.Duration // when it ends without subscribers
}

// kept is a message that is kept.
type kept struct {
	payload []byte
	id      string
	at      time.Duration
}

// epochSize is the length of an epoch: 100 random bits.
const epochSize = 20

func newStream(key string) *stream { return &stream{key: key, epoch: rand.Text()[:epochSize]} }

// next decides about a message: whether it is the next one. It fails if it would
// leave a hole.
func (s *stream) next(m *BrokerMessage) (bool, error) {
	if m.Epoch == "" {
		return m.ID == "" || !s.has(m.ID), nil
	}
	if m.Epoch != s.epoch {
		if m.Offset == 0 {
			return false, errNoOffset
		}
		s.epoch, s.offset = m.Epoch, m.Offset-1
		return true, nil
	}
	if m.Offset > s.offset+1 {
		return false, errHole
	}
	return m.Offset == s.offset+1, nil
}

func (s *stream) has(id string) bool {
	for i := range s.kept {
		if s.kept[i].id == id {
			return true
		}
	}
	return false
}

// drop forgets the oldest messages.
func (s *stream) drop(count int) (bytes int) {
	for i := range count {
		bytes += len(s.kept[i].payload)
		s.kept[i] = kept{}
	}
	s.bytes -= bytes
	if s.kept = s.kept[count:]; len(s.kept) == 0 {
		s.kept = nil
	}
	return bytes
}

// excess is how many of the oldest messages are more than is to be kept.
func (s *stream) excess(limits History, now time.Duration) (count int) {
	bytes := s.bytes
	for i := range s.kept {
		old := limits.Age >= 0 && now-s.kept[i].at > limits.Age
		if !old && !over(len(s.kept)-count, limits.Messages) && !over(bytes, limits.Bytes) {
			break
		}
		bytes -= len(s.kept[i].payload)
		count++
	}
	return count
}

// after returns the messages after an offset that are kept.
func (s *stream) after(offset uint64, limit int) []BrokerMessage {
	before := s.offset - uint64(len(s.kept)) // the offset before the first one
	from := uint64(0)
	if offset > before {
		from = min(offset-before, uint64(len(s.kept)))
	}
	rest := s.kept[from:]
	rest = rest[:max(0, min(limit, len(rest)))]
	messages := make([]BrokerMessage, len(rest))
	for i, k := range rest {
		messages[i] = BrokerMessage{
			Stream: s.key, ID: k.id, Payload: k.payload, Epoch: s.epoch, Offset: before + from + uint64(i) + 1,
		}
	}
	return messages
}
