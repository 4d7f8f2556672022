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
	{"offsets are 1, 2, 3 and so on", offsetsCount},
	{"the messages of a batch are delivered together and in order", batchStaysTogether},
	{"the messages of concurrent publishers have one order in a stream", concurrentPublishers},
	{"a message with the ID of a kept message is not appended", sameID},
	{"a message with a position is appended if it is the next one", givenNext},
	{"a message with a position of another epoch begins that epoch", givenEpoch},
	{"plain messages have no offset and are not kept", plainMessages},
	{"payloads are delivered and kept unchanged", payloadsArrive},
	{"the caller may reuse the batch of Publish", batchIsCallers},
}

func offsetsCount(t *testing.T, c Config) {
	l := listenWithPositions(t, c)
	a := l.subscribe("a")
	b := l.subscribe("b")
	for i := range 10 {
		l.publish(text("a", fmt.Sprint("a", i)), text("b", fmt.Sprint("b", i)), text("a", fmt.Sprint("a", i, "'")))
	}
	got := flatten(l.await(30))
	for _, s := range []struct {
		stream, epoch string
		n             int
	}{{"a", a.Epoch, 20}, {"b", b.Epoch, 10}} {
		messages := inStream(s.stream, got)
		assert.Equal(t, sequence(1, s.n), offsets(messages), "delivered in %s", s.stream)
		for _, m := range messages {
			assert.Equal(t, s.epoch, m.Epoch)
			assert.False(t, m.Plain)
		}
		assert.EqualValues(t, s.n, l.position(s.stream).Offset)
	}
}

func batchStaysTogether(t *testing.T, c Config) {
	l := listen(t, c)
	for _, stream := range []string{"a", "b", "c"} {
		l.subscribe(stream)
	}
	var publishers sync.WaitGroup
	for p := range 4 {
		publishers.Go(func() {
			for i := range 20 {
				name := fmt.Sprint(p, "-", i)
				err := l.broker.Publish(t.Context(), []broker.Message{
					text("a", name+".0"), text("b", name+".1"), text("unknown", name+".x"), text("a", name+".2"),
					{Stream: "c", Plain: true, Payload: []byte(name + ".3")},
					text("b", name+".4"),
				})
				assert.NoError(t, err)
			}
		})
	}
	publishers.Wait()
	batches := l.await(4 * 20 * 5)
	require.Len(t, batches, 4*20, "Run calls deliver once for each Publish")
	for _, batch := range batches {
		require.NotEmpty(t, batch, "Run calls deliver without messages")
		var p, i int
		_, err := fmt.Sscanf(string(batch[0].Payload), "%d-%d.0", &p, &i)
		require.NoError(t, err, "the batch begins with %s", batch[0].Payload)
		var want []string
		for part := range 5 {
			want = append(want, fmt.Sprintf("%d-%d.%d", p, i, part))
		}
		assert.Equal(t, want, payloads(batch))
	}
}

func concurrentPublishers(t *testing.T, c Config) {
	const each = 24
	l := listen(t, c)
	streams := []string{"a", "b", "c"}
	for _, stream := range streams {
		l.subscribe(stream)
	}
	var publishers sync.WaitGroup
	for p := range 8 {
		publishers.Go(func() {
			for i := range each {
				var batch []broker.Message
				for s := range streams {
					batch = append(batch, text(streams[(p+s)%len(streams)], fmt.Sprint(p, " ", i)))
				}
				assert.NoError(t, l.broker.Publish(t.Context(), batch))
			}
		})
	}
	publishers.Wait()
	got := flatten(l.await(8 * each * len(streams)))
	for _, stream := range streams {
		messages := inStream(stream, got)
		require.Len(t, messages, 8*each, "delivered in %s", stream)
		next := make([]int, 8)
		for _, m := range messages {
			var p, i int
			_, err := fmt.Sscan(string(m.Payload), &p, &i)
			require.NoError(t, err)
			assert.Equal(t, next[p], i, "publisher %d published its messages in this order", p)
			next[p] = i + 1
		}
		if l.hasPositions {
			assert.Equal(t, sequence(1, 8*each), offsets(messages))
			kept := l.history(stream, 0, 8*each+1).Messages
			assert.Equal(t, payloads(messages), payloads(kept), "History and delivery have the same order")
			assert.Equal(t, offsets(messages), offsets(kept))
		}
	}
}

func sameID(t *testing.T, c Config) {
	l := listenWithPositions(t, c)
	l.subscribe("a")
	l.subscribe("b")
	l.publish(withID("a", "1", "first"))
	l.publish(withID("a", "1", "again"), withID("a", "2", "second"), withID("b", "1", "another stream"), withID("a", "2", "again"))
	l.publish(withID("a", "1", "again"))
	l.publish(withID("a", "", "none"), withID("a", "", "none"))
	l.publish(text("a", "end"))
	got := flatten(l.awaitPayload("end"))
	want := []string{"first", "second", "none", "none", "end"}
	assert.Equal(t, want, payloads(inStream("a", got)))
	assert.Equal(t, sequence(1, 5), offsets(inStream("a", got)))
	assert.Equal(t, []string{"another stream"}, payloads(inStream("b", got)), "an ID counts in its stream only")
	assert.Equal(t, want, payloads(l.history("a", 0, 10).Messages))
}

func givenNext(t *testing.T, c Config) {
	l := listenWithPositions(t, c)
	epoch := l.subscribe("s").Epoch
	given := func(offset uint64, payload string) broker.Message {
		position := broker.Position{Epoch: epoch, Offset: offset}
		return broker.Message{Stream: "s", Position: position, Payload: []byte(payload)}
	}
	l.publish(given(1, "1"))
	l.publish(text("s", "2"))
	l.publish(given(2, "old"), given(3, "3"), given(4, "4"), given(1, "old"))
	l.publish(given(4, "old"))
	require.Error(t, l.broker.Publish(t.Context(), []broker.Message{given(6, "a hole")}))
	l.publish(text("s", "5"))
	l.publish(given(6, "6"))
	want := []string{"1", "2", "3", "4", "5", "6"}
	got := flatten(l.awaitPayload("6"))
	assert.Equal(t, want, payloads(got))
	assert.Equal(t, sequence(1, 6), offsets(got))
	history := l.history("s", 0, 10)
	assert.Equal(t, epoch, history.Position.Epoch)
	assert.EqualValues(t, 6, history.Position.Offset)
	assert.Equal(t, want, payloads(history.Messages))
}

func givenEpoch(t *testing.T, c Config) {
	l := listenWithPositions(t, c)
	before := l.subscribe("s").Epoch
	l.publish(withID("s", "x", "old"))
	l.publish(broker.Message{Stream: "s", Position: broker.Position{Epoch: "given", Offset: 7}, Payload: []byte("7")})
	position := l.position("s")
	assert.Equal(t, "given", position.Epoch, "the epoch was %s before", before)
	assert.EqualValues(t, 7, position.Offset)
	l.publish(withID("s", "x", "8"))
	got := flatten(l.awaitPayload("8"))
	require.Len(t, got, 3)
	assert.Equal(t, []string{"old", "7", "8"}, payloads(got))
	assert.Equal(t, []uint64{1, 7, 8}, offsets(got))
	assert.Equal(t, "given", got[1].Epoch)
	assert.Equal(t, "given", got[2].Epoch)
	assert.Equal(t, []uint64{7, 8}, offsets(l.history("s", 0, 10).Messages), "older messages belong to another epoch")
}

func plainMessages(t *testing.T, c Config) {
	l := listen(t, c)
	l.subscribe("s")
	l.publish(plain("s", "p1"))
	l.publish(text("s", "1"), plain("s", "p2"), text("s", "2"))
	l.publish(plain("s", "p3"), plain("s", "p3"))
	l.publish(text("s", "3"))
	got := flatten(l.awaitPayload("3"))
	assert.Equal(t, []string{"p1", "1", "p2", "2", "p3", "p3", "3"}, payloads(got), "plain messages are delivered in order with the others")
	for _, m := range got {
		assert.Equal(t, m.Payload[0] == 'p', m.Plain)
		if m.Plain {
			assert.Zero(t, m.Offset)
		}
	}
	if l.hasPositions {
		history := l.history("s", 0, 10)
		assert.EqualValues(t, 3, history.Position.Offset)
		assert.Equal(t, []string{"1", "2", "3"}, payloads(history.Messages))
		assert.Equal(t, sequence(1, 3), offsets(history.Messages))
	}
}

func payloadsArrive(t *testing.T, c Config) {
	l := listen(t, c)
	l.subscribe("s")
	large := make([]byte, 1<<20)
	for i := range large {
		large[i] = byte(i * 7 >> 3)
	}
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	want := [][]byte{{}, all, large, nil, []byte("\r\n"), []byte("\x00"), []byte(`{"a":"ä"}`)}
	for _, payload := range want {
		l.publish(broker.Message{Stream: "s", Payload: payload})
	}
	got := flatten(l.await(len(want)))
	require.Len(t, got, len(want))
	for i, m := range got {
		assert.True(t, string(want[i]) == string(m.Payload), "payload %d was delivered as %d other bytes", i, len(m.Payload))
	}
	if l.hasPositions {
		history := l.history("s", 0, 10)
		kept := history.Messages
		assert.EqualValues(t, len(want), history.Position.Offset)
		require.LessOrEqual(t, len(kept), len(want))
		for i, m := range kept {
			published := want[len(want)-len(kept)+i]
			assert.True(t, string(published) == string(m.Payload), "offset %d is kept as %d other bytes", m.Offset, len(m.Payload))
		}
	}
}

func batchIsCallers(t *testing.T, c Config) {
	l := listen(t, c)
	l.subscribe("s")
	batch := make([]broker.Message, 2)
	for i := range 20 {
		batch[0], batch[1] = text("s", fmt.Sprint(i)), text("s", fmt.Sprint(i, "'"))
		want := slices.Clone(batch)
		l.publish(batch...)
		assert.Equal(t, want, batch, "Publish changes the batch of the caller")
		clear(batch)
	}
	got := flatten(l.await(40))
	for i, m := range got {
		assert.Equal(t, fmt.Sprint(i/2, []string{"", "'"}[i%2]), string(m.Payload))
	}
}
