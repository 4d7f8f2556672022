package rohrpost

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// put publishes messages of a size in a stream.
func put(t *testing.T, m *Memory, stream string, count, size int) {
	t.Helper()
	for range count {
		require.NoError(t, m.Publish(t.Context(), []BrokerMessage{{Stream: stream, Payload: []byte(strings.Repeat("x", size))}}))
	}
}

// keptOf are the offsets that a stream still has.
func keptOf(t *testing.T, m *Memory, stream string) (offsets []uint64) {
	t.Helper()
	_, _, messages, err := m.History(t.Context(), stream, 0, 1000)
	require.NoError(t, err)
	for _, message := range messages {
		offsets = append(offsets, message.Offset)
	}
	return offsets
}

func epochOf(t *testing.T, m *Memory, stream string) string {
	t.Helper()
	epochs, _, err := m.Positions(t.Context(), []string{stream})
	require.NoError(t, err)
	return epochs[0]
}

func TestMemoryIsBounded(t *testing.T) {
	for _, row := range []struct {
		name    string
		history History
		kept    []uint64
	}{
		{"by messages", History{Messages: 3}, []uint64{8, 9, 10}},
		{"by bytes", History{Bytes: 250}, []uint64{9, 10}},
		{"by all bytes", History{TotalBytes: 64 * 400}, []uint64{7, 8, 9, 10}},
		{"one that is larger is not kept", History{Bytes: 99}, nil},
		{"not at all", History{Messages: -1, Bytes: -1, TotalBytes: -1}, []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := NewMemory(row.history)
			defer m.close()
			_, _, err := m.Subscribe(t.Context(), "s")
			require.NoError(t, err)
			put(t, m, "s", 10, 100)
			assert.Equal(t, row.kept, keptOf(t, m, "s"))
			_, offsets, _ := m.Positions(t.Context(), []string{"s"})
			assert.EqualValues(t, 10, offsets[0], "the count goes on")
		})
	}
}

// Of all streams those let go first that were quiet for longest.
func TestMemoryLetsGoOfTheQuiet(t *testing.T) {
	m := NewMemory(History{TotalBytes: 64 * 1000})
	defer m.close()
	var streams []string // of one shard
	for i := 0; len(streams) < 3; i++ {
		if name := fmt.Sprint("s-", i); m.spread.Index(name) == 0 {
			streams = append(streams, name)
			_, _, err := m.Subscribe(t.Context(), name)
			require.NoError(t, err)
		}
	}
	put(t, m, streams[0], 4, 100)
	put(t, m, streams[1], 4, 100)
	put(t, m, streams[0], 1, 100)
	put(t, m, streams[2], 3, 100)
	assert.Len(t, keptOf(t, m, streams[0]), 5)
	assert.Equal(t, []uint64{3, 4}, keptOf(t, m, streams[1]))
	assert.Len(t, keptOf(t, m, streams[2]), 3)
	assert.Equal(t, 1000, m.shards[0].bytes)
}

func TestHistoriesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory(History{Age: time.Minute, TTL: 2 * time.Minute})
		_, _, err := m.Subscribe(t.Context(), "s")
		require.NoError(t, err)
		put(t, m, "s", 2, 10)
		first := epochOf(t, m, "s")
		time.Sleep(50 * time.Second)
		put(t, m, "s", 1, 10)
		time.Sleep(11 * time.Second)
		assert.Equal(t, []uint64{3}, keptOf(t, m, "s"), "older than a minute")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		m.shard("s").mu.Lock()
		assert.Zero(t, m.shard("s").bytes, "although nobody has looked")
		m.shard("s").mu.Unlock()
		assert.Equal(t, first, epochOf(t, m, "s"), "somebody is subscribed")

		require.NoError(t, m.Unsubscribe(t.Context(), "s"))
		time.Sleep(110 * time.Second)
		assert.Equal(t, first, epochOf(t, m, "s"))
		_, _, err = m.Subscribe(t.Context(), "s")
		require.NoError(t, err)
		time.Sleep(10 * time.Minute)
		assert.Equal(t, first, epochOf(t, m, "s"), "somebody has come back in time")

		require.NoError(t, m.Unsubscribe(t.Context(), "s"))
		time.Sleep(3 * time.Minute)
		assert.False(t, m.has("s"))
		put(t, m, "s", 1, 10)
		assert.False(t, m.has("s"), "nobody has asked for it")
		_, offset, err := m.Subscribe(t.Context(), "s")
		require.NoError(t, err)
		assert.Zero(t, offset)
		assert.NotEqual(t, first, epochOf(t, m, "s"), "a new beginning")
		m.close()
		time.Sleep(time.Hour)
	})
}

func TestAbandonedHistoriesAreFew(t *testing.T) {
	m := NewMemory(History{Abandoned: 64 * 10})
	defer m.close()
	ctx := context.Background()
	for i := range 10_000 {
		stream := fmt.Sprint("s-", i)
		_, _, err := m.Subscribe(ctx, stream)
		require.NoError(t, err)
		put(t, m, stream, 1, 10)
		require.NoError(t, m.Unsubscribe(ctx, stream))
	}
	streams, bytes := 0, 0
	for i := range m.shards {
		streams += len(m.shards[i].streams)
		bytes += m.shards[i].bytes
	}
	assert.LessOrEqual(t, streams, 64*10)
	assert.Equal(t, 10*streams, bytes)
	assert.True(t, m.has("s-9999"), "the last one is there")
	assert.False(t, m.has("s-0"))
}
