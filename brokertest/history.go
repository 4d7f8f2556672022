package brokertest

import (
	"fmt"
	"math"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var historyClauses = []clause{
	{"History has what is after an offset, oldest first, up to the limit", historyBounds},
	{"History is the end of the stream without a hole", historyIsTheEnd},
	{"History is of one moment", historyOfOneMoment},
	{"what History returns is the caller's", historyIsCallers},
}

func historyBounds(t *testing.T, c Config) {
	const n = 20
	l := listenKeeping(t, c)
	epoch, _ := l.subscribe("s")
	for i := range n {
		l.publish(text("s", fmt.Sprint(i+1)))
	}
	for _, row := range []struct {
		after uint64
		limit int
		want  []uint64
	}{
		{0, n, count(1, n)},
		{0, n + 1, count(1, n)},
		{0, n - 1, count(1, n-1)},
		{0, 1, count(1, 1)},
		{0, 0, count(1, 0)},
		{1, n, count(2, n-1)},
		{7, 5, count(8, 5)},
		{n - 2, 5, count(n-1, 2)},
		{n - 1, 5, count(n, 1)},
		{n - 1, 1, count(n, 1)},
		{n, 5, count(1, 0)},
		{n + 1, 5, count(1, 0)},
		{math.MaxInt64, 5, count(1, 0)},
		{math.MaxUint64, 5, count(1, 0)},
	} {
		now, offset, got := l.history("s", row.after, row.limit)
		assert.Equal(t, epoch, now)
		assert.EqualValues(t, n, offset, "the position does not depend on what is asked for")
		assert.Equal(t, row.want, offsets(got), "after %d, at most %d", row.after, row.limit)
		for _, m := range got {
			assert.Equal(t, fmt.Sprint(m.Offset), string(m.Payload))
			assert.Equal(t, "s", m.Stream)
			assert.Equal(t, epoch, m.Epoch)
			assert.False(t, m.Plain)
		}
	}
}

func historyIsTheEnd(t *testing.T, c Config) {
	const n = 1000
	l := listenKeeping(t, c)
	l.subscribe("s")
	for i := range n {
		l.publish(Message{Stream: "s", ID: fmt.Sprint(i + 1), Payload: fmt.Append(nil, i+1)})
	}
	_, offset, kept := l.history("s", 0, n+1)
	assert.EqualValues(t, n, offset)
	require.GreaterOrEqual(t, len(kept), 200, "this many are kept at least")
	assert.Equal(t, count(n+1-uint64(len(kept)), len(kept)), offsets(kept))
	for _, m := range kept {
		assert.Equal(t, fmt.Sprint(m.Offset), string(m.Payload))
	}
	oldest := kept[0].Offset
	_, _, again := l.history("s", oldest, 3)
	assert.Equal(t, count(oldest+1, 3), offsets(again), "at the edge of what is kept")
	_, _, again = l.history("s", oldest-1, 3)
	assert.Equal(t, count(oldest, 3), offsets(again), "at the edge of what is kept")
	l.publish(Message{Stream: "s", ID: fmt.Sprint(oldest + 100), Payload: []byte("again")})
	_, offset = l.position("s")
	assert.EqualValues(t, n, offset, "an ID counts as long as the message is kept")
}

func historyOfOneMoment(t *testing.T, c Config) {
	l := listenKeeping(t, c)
	epoch, _ := l.subscribe("s")
	var publisher sync.WaitGroup
	publisher.Go(func() {
		for i := range 400 {
			if !assert.NoError(t, l.broker.Publish(t.Context(), []Message{text("s", fmt.Sprint(2*i+1)), text("s", fmt.Sprint(2*i+2))})) {
				return
			}
		}
	})
	last := uint64(0)
	for last < 800 && !t.Failed() {
		now, offset, got := l.history("s", last, 1000)
		assert.Equal(t, epoch, now)
		assert.GreaterOrEqual(t, offset, last, "the position goes back")
		for i, m := range got {
			assert.Equal(t, offset-uint64(len(got)-1-i), m.Offset, "the messages end at the position")
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
	l := listenKeeping(t, c)
	l.subscribe("s")
	l.publish(text("s", "1"), text("s", "2"))
	_, _, got := l.history("s", 0, 10)
	require.Len(t, got, 2)
	got[0], got[1] = text("s", "x"), Message{}
	_, _, got = l.history("s", 0, 10)
	assert.Equal(t, []string{"1", "2"}, payloads(got))
	assert.Equal(t, count(1, 2), offsets(got))
}
