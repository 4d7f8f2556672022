package brokertest

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rohrpost/rohrpost/broker"
)

var publishClauses = []clause{
	{"offsets go up, and Prev is the offset before", offsetsGoUp},
	{"the messages of a batch are delivered together and in order", batchStaysTogether},
	{"the messages of concurrent publishers have one order in a stream", concurrentPublishers},
	{"an empty message moves the position", emptyMoves},
	{"payloads are delivered and kept unchanged", payloadsArrive},
	{"the caller may reuse the batches of Publish", batchIsCallers},
	{"signals are delivered and not kept", signals},
}

func offsetsGoUp(t *testing.T, c Config) {
	l := listen(t, c)
	begins := map[string]broker.Position{"a": l.follow("a"), "b": l.follow("b")}
	for i := range 10 {
		l.publish(text("a", fmt.Sprint("a", i)), text("b", fmt.Sprint("b", i)), text("a", fmt.Sprint("a", i, "'")))
	}
	got := flatten(l.await(30))
	for stream, begin := range begins {
		messages := inStream(stream, got)
		assertChain(t, begin, messages)
		require.NotEmpty(t, messages)
		at := l.position(stream)
		assert.Equal(t, begin.Epoch, at.Epoch)
		assert.GreaterOrEqual(t, at.Offset, messages[len(messages)-1].Offset, "the position of the stream is that of its latest message")
	}
}

func batchStaysTogether(t *testing.T, c Config) {
	l := listen(t, c)
	for _, stream := range []string{"a", "b"} {
		l.follow(stream)
	}
	var publishers sync.WaitGroup
	for p := range 4 {
		publishers.Go(func() {
			var batches []broker.Batch
			for i := range 20 {
				name := fmt.Sprint(p, "-", i)
				batches = append(batches, broker.Batch{Source: fmt.Sprint("publisher ", p), Number: uint64(i) + 1, Messages: []broker.Message{
					text("a", name+".0"), text("b", name+".1"), text("unknown", name+".x"), text("a", name+".2"), text("b", name+".3"),
				}})
			}
			for len(batches) > 0 { // first one at a call, then the rest at once
				some := batches[:1]
				if len(batches) <= 10 {
					some = batches
				}
				assert.NoError(t, l.broker.Publish(t.Context(), some))
				batches = batches[len(some):]
			}
		})
	}
	publishers.Wait()
	batches := l.await(4 * 20 * 4)
	whole := 0
	for _, batch := range batches {
		require.NotEmpty(t, batch, "Run calls deliver without messages")
		got := texts(batch)
		if len(got) == 0 {
			continue // of the broker
		}
		whole++
		var p, i int
		_, err := fmt.Sscanf(got[0], "%d-%d.0", &p, &i)
		require.NoError(t, err, "the batch begins with %s", got[0])
		var want []string
		for part := range 4 {
			want = append(want, fmt.Sprintf("%d-%d.%d", p, i, part))
		}
		assert.Equal(t, want, got)
	}
	assert.Equal(t, 4*20, whole, "Run calls deliver once for each batch")
}

func concurrentPublishers(t *testing.T, c Config) {
	const each = 24
	l := listen(t, c)
	streams := []string{"a", "b", "c"}
	var begins []broker.Position
	for _, stream := range streams {
		begins = append(begins, l.follow(stream))
	}
	var publishers sync.WaitGroup
	for p := range 8 {
		publishers.Go(func() {
			for i := range each {
				var messages []broker.Message
				for s := range streams {
					messages = append(messages, text(streams[(p+s)%len(streams)], fmt.Sprint(p, " ", i)))
				}
				batch := broker.Batch{Source: fmt.Sprint("publisher ", p), Number: uint64(i) + 1, Messages: messages}
				assert.NoError(t, l.broker.Publish(t.Context(), []broker.Batch{batch}))
			}
		})
	}
	publishers.Wait()
	got := flatten(l.await(8 * each * len(streams)))
	for s, stream := range streams {
		messages := inStream(stream, got)
		require.Len(t, texts(messages), 8*each, "delivered in %s", stream)
		next := make([]int, 8)
		for _, m := range filled(messages) {
			var p, i int
			_, err := fmt.Sscan(string(m.Payload), &p, &i)
			require.NoError(t, err)
			assert.Equal(t, next[p], i, "publisher %d published its messages in this order", p)
			next[p] = i + 1
		}
		assertChain(t, begins[s], messages)
		kept := filled(l.read(stream, 0, 100*each).Messages)
		messages = filled(messages)
		require.GreaterOrEqual(t, len(kept), min(200, len(messages)), "the broker keeps at least 200 messages")
		messages = messages[len(messages)-len(kept):]
		assert.Equal(t, texts(messages), texts(kept), "Read and delivery have the same order")
		assert.Equal(t, offsets(messages), offsets(kept))
	}
}

func emptyMoves(t *testing.T, c Config) {
	l := listen(t, c)
	begin := l.follow("s")
	l.publish(text("s", "1"), text("s", ""), text("s", "2"))
	before := l.position("s")
	l.publish(broker.Message{Stream: "s"})
	at := l.position("s")
	assert.Greater(t, at.Offset, before.Offset)
	l.publish(text("s", "3"))
	got := flatten(l.awaitPayload("3"))
	assertChain(t, begin, got)
	assert.Equal(t, []string{"1", "2", "3"}, texts(got))
	rest := since(at.Offset, got)
	require.NotEmpty(t, rest)
	assert.Equal(t, at.Offset, rest[0].Prev, "the empty message had a position")
	assertChain(t, begin, l.read("s", 0, 20).Messages)
}

func payloadsArrive(t *testing.T, c Config) {
	l := listen(t, c)
	l.follow("s")
	size := 1 << 20
	if limit := l.broker.limits().PayloadBytes; limit > 0 {
		size = min(size, limit)
	}
	large := make([]byte, size)
	for i := range large {
		large[i] = byte(i * 7 >> 3)
	}
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	want := []string{string(all), string(large), "\r\n", "\x00", `{"a":"ä"}`, "\xff\xfe"}
	for _, payload := range want {
		l.publish(text("s", payload))
	}
	got := texts(flatten(l.await(len(want))))
	kept := texts(l.read("s", 0, 100).Messages)
	require.Len(t, got, len(want))
	require.LessOrEqual(t, len(kept), len(want))
	for i := range want {
		assert.True(t, want[i] == got[i], "payload %d was delivered as %d other bytes", i, len(got[i]))
	}
	for i, payload := range want[len(want)-len(kept):] {
		assert.True(t, payload == kept[i], "payload %d is kept as %d other bytes", i, len(kept[i]))
	}
}

func batchIsCallers(t *testing.T, c Config) {
	l := listen(t, c)
	l.follow("s")
	for i := range 20 {
		messages := []broker.Message{text("s", fmt.Sprint(i)), text("s", fmt.Sprint(i, "'"))}
		batches := []broker.Batch{l.batch(messages...)}
		want, number := slices.Clone(messages), l.number
		l.publishBatches(batches...)
		assert.Equal(t, want, messages, "Publish changes the messages of the caller")
		assert.Equal(t, broker.Batch{Source: l.source, Number: number, Messages: messages}, batches[0], "Publish changes the batches of the caller")
		clear(messages)
		clear(batches)
	}
	for i, got := range texts(flatten(l.await(40))) {
		assert.Equal(t, fmt.Sprint(i/2, []string{"", "'"}[i%2]), got)
	}
}

func signals(t *testing.T, c Config) {
	l := listen(t, c)
	if _, ok := l.given.(broker.Signaler); !ok {
		t.Skip("the broker is no Signaler")
	}
	l.follow("s")
	at := l.position("s")
	for i := range 3 {
		signal := []broker.Message{text("s", fmt.Sprint("signal ", i)), text("unknown", "to nobody")}
		require.NoError(t, l.broker.Signal(t.Context(), signal))
	}
	got := filled(inStream("s", flatten(l.await(3))))
	require.Len(t, got, 3)
	for _, m := range got {
		assert.Equal(t, broker.Position{}, m.Position, "a signal has no position")
		assert.Zero(t, m.Prev)
	}
	assert.Equal(t, at, l.position("s"), "a signal moves no position")
	assert.Empty(t, filled(l.read("s", 0, 10).Messages), "a signal is not kept")
}
