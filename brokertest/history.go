package brokertest

import (
	"fmt"
	"math"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rohrpost/rohrpost/broker"
)

var historyClauses = []clause{
	{"History returns the messages after an offset, oldest first, up to the limit", historyBounds},
	{"the broker keeps the latest messages without a hole", historyIsTheEnd},
	{"History returns the position and the messages of one moment", historyOfOneMoment},
	{"the caller may change the result of History", historyIsCallers},
}

func historyBounds(t *testing.T, c Config) {
	const n = 20
	l := listenWithPositions(t, c)
	epoch := l.subscribe("s").Epoch
	for i := range n {
		l.publish(text("s", fmt.Sprint(i+1)))
	}
	for _, row := range []struct {
		after uint64
		limit int
		want  []uint64
	}{
		{0, n, sequence(1, n)},
		{0, n + 1, sequence(1, n)},
		{0, n - 1, sequence(1, n-1)},
		{0, 1, sequence(1, 1)},
		{0, 0, sequence(1, 0)},
		{1, n, sequence(2, n-1)},
		{7, 5, sequence(8, 5)},
		{n - 2, 5, sequence(n-1, 2)},
		{n - 1, 5, sequence(n, 1)},
		{n - 1, 1, sequence(n, 1)},
		{n, 5, sequence(1, 0)},
		{n + 1, 5, sequence(1, 0)},
		{math.MaxInt64, 5, sequence(1, 0)},
		{math.MaxUint64, 5, sequence(1, 0)},
	} {
		history := l.history("s", row.after, row.limit)
		assert.Equal(t, epoch, history.Position.Epoch)
		assert.EqualValues(t, n, history.Position.Offset, "the position does not depend on the offset and the limit")
		assert.Equal(t, row.want, offsets(history.Messages), "after %d, at most %d", row.after, row.limit)
		for _, m := range history.Messages {
			assert.Equal(t, fmt.Sprint(m.Offset), string(m.Payload))
			assert.Equal(t, "s", m.Stream)
			assert.Equal(t, epoch, m.Epoch)
			assert.False(t, m.Plain)
		}
	}
}

func historyIsTheEnd(t *testing.T, c Config) {
	const n = 1000
	l := listenWithPositions(t, c)
	l.subscribe("s")
	for i := range n {
		l.publish(withID("s", fmt.Sprint(i+1), fmt.Sprint(i+1)))
	}
	history := l.history("s", 0, n+1)
	kept := history.Messages
	assert.EqualValues(t, n, history.Position.Offset)
	require.GreaterOrEqual(t, len(kept), 200, "the broker keeps at least 200 messages")
	assert.Equal(t, sequence(n+1-uint64(len(kept)), len(kept)), offsets(kept))
	for _, m := range kept {
		assert.Equal(t, fmt.Sprint(m.Offset), string(m.Payload))
	}
	oldest := kept[0].Offset
	assert.Equal(t, sequence(oldest+1, 3), offsets(l.history("s", oldest, 3).Messages), "after the oldest kept message")
	assert.Equal(t, sequence(oldest, 3), offsets(l.history("s", oldest-1, 3).Messages), "from the oldest kept message")
	l.publish(withID("s", fmt.Sprint(oldest+100), "again"))
	assert.EqualValues(t, n, l.position("s").Offset, "the stream still keeps a message with this ID")
}

func historyOfOneMoment(t *testing.T, c Config) {
	l := listenWithPositions(t, c)
	epoch := l.subscribe("s").Epoch
	var publisher sync.WaitGroup
	publisher.Go(func() {
		for i := range 400 {
			batch := []broker.Message{text("s", fmt.Sprint(2*i+1)), text("s", fmt.Sprint(2*i+2))}
			if !assert.NoError(t, l.broker.Publish(t.Context(), batch)) {
				return
			}
		}
	})
	last := uint64(0)
	for last < 800 && !t.Failed() {
		history := l.history("s", last, 1000)
		offset, got := history.Position.Offset, history.Messages
		assert.Equal(t, epoch, history.Position.Epoch)
		assert.GreaterOrEqual(t, offset, last, "the position is older than the previous one")
		for i, m := range got {
			assert.Equal(t, offset-uint64(len(got)-1-i), m.Offset, "the last message is at the position")
			assert.Equal(t, fmt.Sprint(m.Offset), string(m.Payload))
		}
		if offset > last {
			assert.NotEmpty(t, got, "the position is newer than the messages")
		}
		last = offset
	}
	publisher.Wait()
}

func historyIsCallers(t *testing.T, c Config) {
	l := listenWithPositions(t, c)
	l.subscribe("s")
	l.publish(text("s", "1"), text("s", "2"))
	got := l.history("s", 0, 10).Messages
	require.Len(t, got, 2)
	got[0], got[1] = text("s", "x"), broker.Message{}
	got = l.history("s", 0, 10).Messages
	assert.Equal(t, []string{"1", "2"}, payloads(got))
	assert.Equal(t, sequence(1, 2), offsets(got))
}
