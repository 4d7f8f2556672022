package brokertest

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rohrpost/rohrpost/broker"
)

var streamClauses = []clause{
	{"Subscribe begins a stream with an epoch", beginsWithSubscribe},
	{"an epoch is never used again", epochIsUnique},
	{"a stream that begins again has another epoch", beginsAgain},
	{"Positions returns the positions of the given streams in their order", positionsInOrder},
	{"each key of printable ASCII is a separate stream", keysAreSeparate},
	{"messages of a stream that does not exist do no harm", unknownStream},
}

func beginsWithSubscribe(t *testing.T, c Config) {
	l := listenWithPositions(t, c)
	position := l.position("s")
	assert.Empty(t, position.Epoch, "no hub has asked for the stream")
	assert.Zero(t, position.Offset)
	assert.Empty(t, l.history("s", 0, 10).Messages)
	assert.Empty(t, l.position("s").Epoch, "Positions and History do not begin a stream")

	begin := l.subscribe("s")
	assert.NotEmpty(t, begin.Epoch)
	assert.Zero(t, begin.Offset, "nothing was published")
	position = l.position("s")
	assert.Equal(t, begin.Epoch, position.Epoch)
	assert.Zero(t, position.Offset)
	l.publish(text("s", "a"))
	got := flatten(l.await(1))
	assert.Equal(t, begin.Epoch, got[0].Epoch)
	assert.EqualValues(t, 1, got[0].Offset)
}

func epochIsUnique(t *testing.T, c Config) {
	seen := map[string]bool{}
	for range 3 {
		l := listenWithPositions(t, c)
		for _, stream := range []string{"a", "b"} {
			epoch := l.subscribe(stream).Epoch
			assert.False(t, seen[epoch], "the epoch %q was used twice", epoch)
			seen[epoch] = true
		}
	}
}

func beginsAgain(t *testing.T, c Config) {
	if c.EndStream == nil {
		t.Skip("Config.EndStream is nil")
	}
	l := listenWithPositions(t, c)
	seen := map[string]bool{}
	for range 3 {
		begin := l.subscribe("s")
		require.NotEmpty(t, begin.Epoch)
		assert.False(t, seen[begin.Epoch], "the epoch %q was used twice", begin.Epoch)
		seen[begin.Epoch] = true
		assert.Empty(t, l.history("s", 0, 10).Messages, "these messages belong to another epoch")
		l.publish(withID("s", "same", "a"))
		assert.Equal(t, begin.Offset+1, l.position("s").Offset, "the ID was published in another epoch only")
		l.unsubscribe("s")
		c.EndStream(t, l.broker, "s")
		assert.Empty(t, l.position("s").Epoch, "the stream has ended")
	}
}

func positionsInOrder(t *testing.T, c Config) {
	l := listenWithPositions(t, c)
	a := l.subscribe("a").Epoch
	b := l.subscribe("b").Epoch
	l.publish(text("b", "1"), text("a", "1"), text("b", "2"))
	positions, err := l.broker.Positions(t.Context(), []string{"b", "unknown", "a", "b"})
	require.NoError(t, err)
	assert.Equal(t, []broker.Position{{Epoch: b, Offset: 2}, {}, {Epoch: a, Offset: 1}, {Epoch: b, Offset: 2}}, positions)
	positions, err = l.broker.Positions(t.Context(), nil)
	require.NoError(t, err)
	assert.Empty(t, positions)
}

func keysAreSeparate(t *testing.T, c Config) {
	l := listen(t, c)
	long := make([]byte, 249)
	for i := range long {
		long[i] = byte(' ' + i%('~'-' '+1))
	}
	keys := []string{
		"a", "A", "a ", " a", "a.b", "a.*", "a.>", "*", ">", ".", "..", "?", "[a]", "a:b", "a/b", "a\\b", "a%b", "a%20b", "a b",
		"{}", "{a}", "{a}b", "a{b}", "$", "$SYS", "#", "'", "\"", "`", "-", "--", "_", "%", "+", "a+b", "0", "null", "~",
		string(long) + "x", string(long) + "y",
	}
	for _, key := range keys {
		l.subscribe(key)
	}
	for _, key := range keys {
		l.publish(text(key, "for "+key))
	}
	got := flatten(l.await(len(keys)))
	for _, key := range keys {
		assert.Equal(t, []string{"for " + key}, payloads(inStream(key, got)), "delivered in %q", key)
		if l.hasPositions {
			history := l.history(key, 0, 10)
			assert.EqualValues(t, 1, history.Position.Offset, "%q", key)
			assert.Equal(t, []string{"for " + key}, payloads(history.Messages), "kept in %q", key)
		}
	}

	other := listen(t, c)
	for _, pattern := range []string{"*", ">", "a*", "a.*", "a.>", "?", "[a-z]*", "{a,b}"} {
		other.subscribe(pattern)
	}
	other.publish(text("a.b", "matches a.*"), text("b", "matches ?"), text("*", "end"))
	assert.Equal(t, []string{"end"}, payloads(flatten(other.awaitPayload("end"))), "a key is not a pattern")
}

func unknownStream(t *testing.T, c Config) {
	l := listen(t, c)
	l.publish(text("s", "a"), broker.Message{Stream: "s", Plain: true}, withID("s", "x", "b"))
	begin := l.subscribe("s")
	l.publish(text("s", "c"))
	got := flatten(l.awaitPayload("c"))
	assert.Equal(t, []string{"c"}, payloads(got), "only this message was published after Subscribe")
	if l.hasPositions {
		assert.Equal(t, begin.Epoch, got[0].Epoch)
		assert.Equal(t, begin.Offset+1, got[0].Offset)
	}
}
