package history

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/shards"
	"github.com/stretchr/testify/assert"
)

// put publishes messages of a size in a stream.
func put(t *testing.T, s *Store, stream string, count, size int) {
	t.Helper()
	for range count {
		s.Publish([]broker.Message{{Stream: stream, Payload: []byte(strings.Repeat("x", size))}})
	}
}

// keptOf are the offsets of the messages that a stream keeps.
func keptOf(s *Store, stream string) (offsets []uint64) {
	for _, message := range s.History(stream, 0, 1000).Messages {
		offsets = append(offsets, message.Offset)
	}
	return offsets
}

func epochOf(s *Store, stream string) string {
	return s.Positions([]string{stream})[0].Epoch
}

func TestStoreIsBounded(t *testing.T) {
	for _, row := range []struct {
		name   string
		limits Limits
		kept   []uint64
	}{
		{"by messages", Limits{MaxMessages: 3}, []uint64{8, 9, 10}},
		{"by bytes", Limits{MaxBytes: 2*(100+overhead) + 50}, []uint64{9, 10}},
		{"by all bytes", Limits{MaxTotalBytes: shards.Count * 4 * (100 + overhead)}, []uint64{7, 8, 9, 10}},
		{"a larger message is not kept", Limits{MaxBytes: 99 + overhead}, nil},
		{"no limits", Limits{MaxMessages: -1, MaxBytes: -1, MaxTotalBytes: -1}, []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := New(Config{Limits: row.limits})
			defer s.Close()
			s.Subscribe("s")
			put(t, s, "s", 10, 100)
			assert.Equal(t, row.kept, keptOf(s, "s"))
			assert.EqualValues(t, 10, s.Positions([]string{"s"})[0].Offset, "offsets go on")
		})
	}
}

// TestBytesAreThoseOfTheHeap compares what counts with what is in use.
func TestBytesAreThoseOfTheHeap(t *testing.T) {
	for _, size := range []int{20, 230, 1500} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			s := New(Config{Limits: Limits{MaxMessages: -1, MaxTotalBytes: -1}})
			defer s.Close()
			before := liveHeap()
			for i := range 20 {
				stream := fmt.Sprint("s-", i)
				s.Subscribe(stream)
				put(t, s, stream, 10_000, size) // many have come and gone
			}
			counted := 0
			for i := range s.shards {
				counted += s.shards[i].bytes
			}
			assert.LessOrEqual(t, float64(liveHeap()-before), 1.1*float64(counted))
			assert.LessOrEqual(t, counted, 20*512<<10)
			assert.Greater(t, counted, 20*500<<10)
		})
	}
}

func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// The streams with more than their share lose messages first, of those the ones without new
// messages for longest.
func TestStoreDropsOldestStreams(t *testing.T) {
	s := New(Config{Limits: Limits{MaxTotalBytes: shards.Count * 10 * (100 + overhead)}})
	defer s.Close()
	var streams []string // of one shard
	for i := 0; len(streams) < 3; i++ {
		if name := fmt.Sprint("s-", i); s.hash.Index(name) == 0 {
			streams = append(streams, name)
			s.Subscribe(name)
		}
	}
	put(t, s, streams[0], 4, 100)
	put(t, s, streams[1], 4, 100)
	put(t, s, streams[0], 1, 100)
	put(t, s, streams[2], 3, 100)
	assert.Equal(t, []uint64{2, 3, 4, 5}, keptOf(s, streams[0]))
	assert.Equal(t, []uint64{2, 3, 4}, keptOf(s, streams[1]))
	assert.Len(t, keptOf(s, streams[2]), 3)
	assert.Equal(t, 10*(100+overhead), s.shards[0].bytes)
}

func TestStreamsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{Limits: Limits{MaxAge: time.Minute, KeepUnused: 2 * time.Minute}})
		s.Subscribe("s")
		put(t, s, "s", 2, 10)
		first := epochOf(s, "s")
		time.Sleep(50 * time.Second)
		put(t, s, "s", 1, 10)
		time.Sleep(11 * time.Second)
		assert.Equal(t, []uint64{3}, keptOf(s, "s"), "older than a minute")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		s.shard("s").mu.Lock()
		assert.Zero(t, s.shard("s").bytes, "the timer has trimmed it")
		s.shard("s").mu.Unlock()
		assert.Equal(t, first, epochOf(s, "s"), "it has a subscriber")

		s.Unsubscribe("s")
		time.Sleep(110 * time.Second)
		assert.Equal(t, first, epochOf(s, "s"))
		s.Subscribe("s")
		time.Sleep(10 * time.Minute)
		assert.Equal(t, first, epochOf(s, "s"), "it has a subscriber again")

		s.Unsubscribe("s")
		time.Sleep(3 * time.Minute)
		assert.False(t, s.Has("s"))
		put(t, s, "s", 1, 10)
		assert.False(t, s.Has("s"), "no subscriber has asked for it")
		assert.Zero(t, s.Subscribe("s").Offset)
		assert.NotEqual(t, first, epochOf(s, "s"), "a new stream")
		s.Close()
		time.Sleep(time.Hour)
	})
}

func TestUnusedStreamsAreBounded(t *testing.T) {
	s := New(Config{Limits: Limits{MaxUnused: shards.Count * 10}})
	defer s.Close()
	for i := range 10_000 {
		stream := fmt.Sprint("s-", i)
		s.Subscribe(stream)
		put(t, s, stream, 1, 10)
		s.Unsubscribe(stream)
	}
	streams, bytes := 0, 0
	for i := range s.shards {
		streams += len(s.shards[i].streams)
		bytes += s.shards[i].bytes
	}
	assert.LessOrEqual(t, streams, 64*10)
	assert.Equal(t, (10+overhead)*streams, bytes)
	assert.True(t, s.Has("s-9999"), "the latest stream stays")
	assert.False(t, s.Has("s-0"))
}

// A message keeps a stream that nobody has subscribed to.
func TestMessagesKeepUnusedStreams(t *testing.T) {
	s := New(Config{Limits: Limits{MaxUnused: shards.Count * 4}})
	defer s.Close()
	begin := func(stream string) {
		s.Subscribe(stream)
		put(t, s, stream, 1, 10)
		s.Unsubscribe(stream)
	}
	begin("kept")
	begin("left")
	for i := range 1000 {
		put(t, s, "kept", 1, 10)
		begin(fmt.Sprint("s-", i))
	}
	assert.True(t, s.Has("kept"))
	assert.False(t, s.Has("left"))
}

// A batch that is taken stays as it is: its source may repeat it elsewhere.
func TestTakenBatchesStay(t *testing.T) {
	s := New(Config{Frame: func(_ string, payload []byte, _ uint64) []byte { return append([]byte("framed "), payload...) }})
	defer s.Close()
	s.Subscribe("b")
	messages := []broker.Message{{Stream: "a", Payload: []byte("1")}, {Stream: "b", Payload: []byte("2")}} // nobody has asked for a
	s.Take([]broker.Batch{{Source: "s", Number: 1, Messages: messages}})
	assert.Equal(t, []broker.Message{{Stream: "a", Payload: []byte("1")}, {Stream: "b", Payload: []byte("2")}}, messages)
	assert.Equal(t, "framed 2", string(s.History("b", 0, 10).Messages[0].Payload))
}
