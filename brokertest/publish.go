package brokertest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var publishClauses = []clause{
	{"offsets are 1, 2, 3 and so on", offsetsCount},
	{"a batch stays together and in order", batchStaysTogether},
	{"concurrent publishers: one order, the same for all", concurrentPublishers},
	{"the same ID is not appended twice", sameID},
	{"a given position is appended if it is the next", givenNext},
	{"a given position of another epoch begins it", givenEpoch},
	{"plain messages have no offset and are not kept", plainMessages},
	{"payloads arrive as they are", payloadsArrive},
	{"the caller may use the batch again", batchIsCallers},
}

func offsetsCount(t *testing.T, c Config) {
	l := listenKeeping(t, c)
	epochA, _ := l.subscribe("a")
	epochB, _ := l.subscribe("b")
	for i := range 10 {
		l.publish(text("a", fmt.Sprint("a", i)), text("b", fmt.Sprint("b", i)), text("a", fmt.Sprint("a", i, "'")))
	}
	got := flat(l.await(30))
	for _, s := range []struct {
		stream, epoch string
		n             int
	}{{"a", epochA, 20}, {"b", epochB, 10}} {
		own := of(s.stream, got)
		assert.Equal(t, count(1, s.n), offsets(own), "delivered in %s", s.stream)
		for _, m := range own {
			assert.Equal(t, s.epoch, m.Epoch)
			assert.False(t, m.Plain)
		}
		_, offset := l.position(s.stream)
		assert.EqualValues(t, s.n, offset)
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
				err := l.broker.Publish(t.Context(), []Message{
					text("a", name+".0"), text("b", name+".1"), text("nobody's", name+".x"), text("a", name+".2"),
					{Stream: "c", Plain: true, Payload: []byte(name + ".3")},
					text("b", name+".4"),
				})
				assert.NoError(t, err)
			}
		})
	}
	publishers.Wait()
	batches := l.await(4 * 20 * 5)
	require.Len(t, batches, 4*20, "a call of deliver for each Publish")
	for _, batch := range batches {
		require.NotEmpty(t, batch, "deliver was called with nothing")
		var p, i int
		_, err := fmt.Sscanf(string(batch[0].Payload), "%d-%d.0", &p, &i)
		require.NoError(t, err, "%s begins no batch", batch[0].Payload)
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
				var batch []Message
				for s := range streams {
					batch = append(batch, text(streams[(p+s)%len(streams)], fmt.Sprint(p, " ", i)))
				}
				assert.NoError(t, l.broker.Publish(t.Context(), batch))
			}
		})
	}
	publishers.Wait()
	got := flat(l.await(8 * each * len(streams)))
	for _, stream := range streams {
		own := of(stream, got)
		require.Len(t, own, 8*each, "delivered in %s", stream)
		next := make([]int, 8)
		for _, m := range own {
			var p, i int
			_, err := fmt.Sscan(string(m.Payload), &p, &i)
			require.NoError(t, err)
			assert.Equal(t, next[p], i, "what publisher %d has published one after the other", p)
			next[p] = i + 1
		}
		if l.keeps {
			assert.Equal(t, count(1, 8*each), offsets(own))
			_, _, kept := l.history(stream, 0, 8*each+1)
			assert.Equal(t, payloads(own), payloads(kept), "History and delivery have one order")
			assert.Equal(t, offsets(own), offsets(kept))
		}
	}
}

func sameID(t *testing.T, c Config) {
	l := listenKeeping(t, c)
	l.subscribe("a")
	l.subscribe("b")
	with := func(stream, id, payload string) Message {
		return Message{Stream: stream, ID: id, Payload: []byte(payload)}
	}
	l.publish(with("a", "1", "first"))
	l.publish(with("a", "1", "again"), with("a", "2", "second"), with("b", "1", "another stream"), with("a", "2", "again"))
	l.publish(with("a", "1", "again"))
	l.publish(with("a", "", "none"), with("a", "", "none"))
	l.publish(text("a", "end"))
	got := flat(l.awaitLast("end"))
	want := []string{"first", "second", "none", "none", "end"}
	assert.Equal(t, want, payloads(of("a", got)))
	assert.Equal(t, count(1, 5), offsets(of("a", got)))
	assert.Equal(t, []string{"another stream"}, payloads(of("b", got)), "an ID belongs to its stream")
	_, _, kept := l.history("a", 0, 10)
	assert.Equal(t, want, payloads(kept))
}

func givenNext(t *testing.T, c Config) {
	l := listenKeeping(t, c)
	epoch, _ := l.subscribe("s")
	given := func(offset uint64, payload string) Message {
		return Message{Stream: "s", Epoch: epoch, Offset: offset, Payload: []byte(payload)}
	}
	l.publish(given(1, "1"))
	l.publish(text("s", "2"))
	l.publish(given(2, "had"), given(3, "3"), given(4, "4"), given(1, "had"))
	l.publish(given(4, "had"))
	require.Error(t, l.broker.Publish(t.Context(), []Message{given(6, "a hole")}))
	l.publish(text("s", "5"))
	l.publish(given(6, "6"))
	want := []string{"1", "2", "3", "4", "5", "6"}
	got := flat(l.awaitLast("6"))
	assert.Equal(t, want, payloads(got))
	assert.Equal(t, count(1, 6), offsets(got))
	now, offset, kept := l.history("s", 0, 10)
	assert.Equal(t, epoch, now)
	assert.EqualValues(t, 6, offset)
	assert.Equal(t, want, payloads(kept))
}

func givenEpoch(t *testing.T, c Config) {
	l := listenKeeping(t, c)
	before, _ := l.subscribe("s")
	l.publish(Message{Stream: "s", ID: "x", Payload: []byte("old")})
	l.publish(Message{Stream: "s", Epoch: "given", Offset: 7, Payload: []byte("7")})
	epoch, offset := l.position("s")
	assert.Equal(t, "given", epoch, "instead of %s", before)
	assert.EqualValues(t, 7, offset)
	l.publish(Message{Stream: "s", ID: "x", Payload: []byte("8")})
	got := flat(l.awaitLast("8"))
	require.Len(t, got, 3)
	assert.Equal(t, []string{"old", "7", "8"}, payloads(got))
	assert.Equal(t, []uint64{1, 7, 8}, offsets(got))
	assert.Equal(t, "given", got[1].Epoch)
	assert.Equal(t, "given", got[2].Epoch)
	_, _, kept := l.history("s", 0, 10)
	assert.Equal(t, []uint64{7, 8}, offsets(kept), "what is older belongs to another epoch")
}

func plainMessages(t *testing.T, c Config) {
	l := listen(t, c)
	l.subscribe("s")
	plain := func(payload string) Message { return Message{Stream: "s", Payload: []byte(payload), Plain: true} }
	l.publish(plain("p1"))
	l.publish(text("s", "1"), plain("p2"), text("s", "2"))
	l.publish(plain("p3"), plain("p3"))
	l.publish(text("s", "3"))
	got := flat(l.awaitLast("3"))
	assert.Equal(t, []string{"p1", "1", "p2", "2", "p3", "p3", "3"}, payloads(got), "in order with the others")
	for _, m := range got {
		assert.Equal(t, m.Payload[0] == 'p', m.Plain)
		if m.Plain {
			assert.Zero(t, m.Offset)
		}
	}
	if l.keeps {
		_, offset, kept := l.history("s", 0, 10)
		assert.EqualValues(t, 3, offset)
		assert.Equal(t, []string{"1", "2", "3"}, payloads(kept))
		assert.Equal(t, count(1, 3), offsets(kept))
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
		l.publish(Message{Stream: "s", Payload: payload})
	}
	got := flat(l.await(len(want)))
	require.Len(t, got, len(want))
	for i, m := range got {
		assert.True(t, string(want[i]) == string(m.Payload), "payload %d has arrived as %d other bytes", i, len(m.Payload))
	}
	if l.keeps {
		_, offset, kept := l.history("s", 0, 10)
		assert.EqualValues(t, len(want), offset)
		require.LessOrEqual(t, len(kept), len(want))
		for i, m := range kept {
			is := want[len(want)-len(kept)+i]
			assert.True(t, string(is) == string(m.Payload), "offset %d is kept as %d other bytes", m.Offset, len(m.Payload))
		}
	}
}

func batchIsCallers(t *testing.T, c Config) {
	l := listen(t, c)
	l.subscribe("s")
	batch := make([]Message, 2)
	for i := range 20 {
		batch[0], batch[1] = text("s", fmt.Sprint(i)), text("s", fmt.Sprint(i, "'"))
		want := append([]Message(nil), batch...)
		l.publish(batch...)
		assert.Equal(t, want, batch, "Publish has changed the batch of the caller")
		clear(batch)
	}
	got := flat(l.await(40))
	for i, m := range got {
		assert.Equal(t, fmt.Sprint(i/2, []string{"", "'"}[i%2]), string(m.Payload))
	}
}
