package brokertest

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rohrpost/rohrpost/broker"
)

var readClauses = []clause{
	{"Read returns the messages after an offset, oldest first, up to the limit", readBounds},
	{"the broker keeps the latest messages without a hole", readIsTheEnd},
	{"Read returns the position and the messages of one moment", readOfOneMoment},
	{"the caller may change the result of Read", readIsCallers},
}

func readBounds(t *testing.T, c Config) {
	const n = 20
	l := listen(t, c)
	begin := l.follow("s")
	for i := range n {
		l.publish(text("s", fmt.Sprint(i+1)))
	}
	all := l.read("s", begin.Offset, 10*n)
	require.Len(t, texts(all.Messages), n)
	assertChain(t, begin, all.Messages)
	at := all.Position
	assert.Equal(t, at, all.Messages[len(all.Messages)-1].Position, "the position is that of the latest message")
	for i, m := range filled(all.Messages) {
		assert.Equal(t, fmt.Sprint(i+1), string(m.Payload))
		assert.Equal(t, "s", m.Stream)
	}
	afters := []uint64{begin.Offset, at.Offset, at.Offset + 1, math.MaxInt64, math.MaxUint64}
	for _, m := range all.Messages {
		afters = append(afters, m.Offset, m.Offset-1)
	}
	for _, after := range afters {
		for _, limit := range []int{0, 1, 5, n - 1, n, 10 * n} {
			want := since(after, all.Messages)
			want = want[:min(limit, len(want))]
			h := l.read("s", after, limit)
			assert.Equal(t, at, h.Position, "the position does not depend on the offset and the limit")
			assert.Equal(t, offsets(want), offsets(h.Messages), "after %d, at most %d", after, limit)
			if len(want) > 0 && len(h.Messages) > 0 {
				assert.Equal(t, want[0].Prev, h.Messages[0].Prev, "Prev, after %d", after)
			}
		}
	}
}

func readIsTheEnd(t *testing.T, c Config) {
	const n = 1000
	l := listen(t, c)
	l.follow("s")
	for i := range n / 10 {
		var batches []broker.Batch
		for j := range 10 {
			batches = append(batches, l.batch(text("s", fmt.Sprint(10*i+j+1))))
		}
		l.publishBatches(batches...)
	}
	history := l.read("s", 0, 10*n)
	kept := history.Messages
	require.GreaterOrEqual(t, len(filled(kept)), 200, "the broker keeps at least 200 messages")
	assertChain(t, broker.Position{Epoch: history.Position.Epoch, Offset: kept[0].Prev}, kept)
	assert.Equal(t, history.Position, kept[len(kept)-1].Position)
	first := n - len(filled(kept)) + 1
	for i, m := range filled(kept) {
		assert.Equal(t, fmt.Sprint(first+i), string(m.Payload))
	}
	oldest := kept[0].Offset
	assert.Equal(t, offsets(kept[1:4]), offsets(l.read("s", oldest, 3).Messages), "after the oldest kept message")
	assert.Equal(t, offsets(kept[:3]), offsets(l.read("s", oldest-1, 3).Messages), "from the oldest kept message")
}

func readOfOneMoment(t *testing.T, c Config) {
	l := listen(t, c)
	begin := l.follow("s")
	var publisher sync.WaitGroup
	var published atomic.Bool
	publisher.Go(func() {
		defer published.Store(true)
		for i := range uint64(90) {
			batch := broker.Batch{Source: "a", Number: i + 1, Messages: []broker.Message{text("s", fmt.Sprint(2*i+1)), text("s", fmt.Sprint(2*i+2))}}
			if !assert.NoError(t, l.broker.Publish(t.Context(), []broker.Batch{batch})) {
				return
			}
		}
	})
	defer publisher.Wait()
	seen := 0
	for last, all := begin, false; !all && !t.Failed(); {
		all = published.Load() // a read after the last message was published is the last one
		history := l.read("s", last.Offset, 1000)
		got := history.Messages
		if !assertChain(t, last, got) {
			return
		}
		for _, m := range filled(got) {
			seen++
			assert.Equal(t, fmt.Sprint(seen), string(m.Payload))
		}
		if len(got) > 0 {
			last = got[len(got)-1].Position
		}
		assert.Equal(t, history.Position, last, "the last message is at the position")
	}
	assert.Equal(t, 180, seen, "messages read")
}

func readIsCallers(t *testing.T, c Config) {
	l := listen(t, c)
	begin := l.follow("s")
	l.publish(text("s", "1"), text("s", "2"))
	got := l.read("s", begin.Offset, 10).Messages
	want := offsets(got)
	require.Equal(t, []string{"1", "2"}, texts(got))
	got[0], got[1] = text("s", "x"), broker.Message{}
	got = l.read("s", begin.Offset, 10).Messages
	assert.Equal(t, []string{"1", "2"}, texts(got))
	assert.Equal(t, want, offsets(got))
}
