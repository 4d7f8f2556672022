package brokertest

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rohrpost/rohrpost/broker"
)

var streamClauses = []clause{
	{"Follow begins a stream with an epoch", beginsWithFollow},
	{"an epoch is never used again", epochIsUnique},
	{"a stream that begins again has another epoch", beginsAgain},
	{"Positions and Follow return the positions of the given streams in their order", positionsInOrder},
	{"each key of printable ASCII is a separate stream", keysAreSeparate},
	{"messages of a stream that does not exist do no harm", unknownStream},
	{"an engine that has gone back in time begins new epochs", restored},
}

func beginsWithFollow(t *testing.T, c Config) {
	l := listen(t, c)
	position := l.position("s")
	assert.Empty(t, position.Epoch, "no hub has asked for the stream")
	assert.Zero(t, position.Offset)
	assert.Empty(t, l.read("s", 0, 10).Messages)
	assert.Empty(t, l.position("s").Epoch, "Positions and Read do not begin a stream")

	begin := l.follow("s")
	assert.NotEmpty(t, begin.Epoch)
	assert.Equal(t, begin, l.position("s"))
	l.publish(text("s", "a"))
	got := flatten(l.await(1))
	assertChain(t, begin, got)
	assert.Greater(t, l.position("s").Offset, begin.Offset)
}

func epochIsUnique(t *testing.T, c Config) {
	seen := map[string]bool{}
	for range 3 {
		l := listen(t, c)
		for _, stream := range []string{"a", "b"} {
			epoch := l.follow(stream).Epoch
			assert.False(t, seen[epoch], "the epoch %q was used twice", epoch)
			seen[epoch] = true
		}
	}
}

func beginsAgain(t *testing.T, c Config) {
	if c.EndStream == nil {
		t.Skip("Config.EndStream is nil")
	}
	l := listen(t, c)
	seen := map[string]bool{}
	for range 3 {
		begin := l.follow("s")
		require.NotEmpty(t, begin.Epoch)
		assert.False(t, seen[begin.Epoch], "the epoch %q was used twice", begin.Epoch)
		seen[begin.Epoch] = true
		assert.Empty(t, filled(l.read("s", 0, 10).Messages), "these messages belong to another epoch")
		l.publish(text("s", "a"))
		l.unfollow("s")
		c.EndStream(t, l.given, "s")
		assert.Empty(t, l.position("s").Epoch, "the stream has ended")
	}
}

func positionsInOrder(t *testing.T, c Config) {
	l := listen(t, c)
	l.follow("a")
	l.follow("b")
	l.publish(text("b", "1"), text("a", "1"), text("b", "2"))
	a, b := l.position("a"), l.position("b")
	require.NotEqual(t, a.Epoch, b.Epoch)
	positions, err := l.broker.Positions(t.Context(), []string{"b", "unknown", "a", "b"})
	require.NoError(t, err)
	assert.Equal(t, []broker.Position{b, {}, a, b}, positions)
	positions, err = l.broker.Follow(t.Context(), []string{"b", "new", "a"})
	require.NoError(t, err)
	require.Len(t, positions, 3)
	assert.Equal(t, []broker.Position{b, a}, []broker.Position{positions[0], positions[2]})
	assert.NotEmpty(t, positions[1].Epoch, "Follow begins each stream")
	for _, call := range []func() ([]broker.Position, error){
		func() ([]broker.Position, error) { return l.broker.Positions(t.Context(), nil) },
		func() ([]broker.Position, error) { return l.broker.Follow(t.Context(), nil) },
	} {
		positions, err = call()
		require.NoError(t, err)
		assert.Empty(t, positions)
	}
}

func keysAreSeparate(t *testing.T, c Config) {
	l := listen(t, c)
	long := make([]byte, 249)
	for i := range long {
		long[i] = byte(' ' + i%('~'-' '+1))
	}
	keys := []string{
		"a", "A", "a ", " a", "a.b", "a.*", "a.>", "*", ">", ".", "..", "?", "[a]", "a:b", "a/b", "a\\b", "a%b", "a%20b", "a b",
		"{}", "{a}", "{a}b", "a{b}", "$", "$SYS", "#", "'", "\"", "`", "-", "--", "_", "%", "+", "a+b", "0", "null", "~", "!a", "a@b",
		string(long) + "x", string(long) + "y",
	}
	positions, err := l.broker.Follow(t.Context(), keys)
	require.NoError(t, err)
	require.Len(t, positions, len(keys))
	for _, key := range keys {
		l.publish(text(key, "for "+key))
	}
	got := flatten(l.await(len(keys)))
	for _, key := range keys {
		assert.Equal(t, []string{"for " + key}, texts(inStream(key, got)), "delivered in %q", key)
		assert.Equal(t, []string{"for " + key}, texts(l.read(key, 0, 10).Messages), "kept in %q", key)
	}

	other := listen(t, c)
	for _, pattern := range []string{"*", ">", "a*", "a.*", "a.>", "?", "[a-z]*", "{a,b}"} {
		other.follow(pattern)
	}
	other.publish(text("a.b", "matches a.*"), text("b", "matches ?"), text("*", "end"))
	assert.Equal(t, []string{"end"}, texts(flatten(other.awaitPayload("end"))), "a key is not a pattern")
}

func unknownStream(t *testing.T, c Config) {
	l := listen(t, c)
	l.follow("end")
	l.publish(text("s", "a"), text("end", "in between"), text("s", "b"))
	begin := l.follow("s")
	l.publish(text("s", "c"))
	got := flatten(l.awaitPayload("c"))
	assert.Equal(t, []string{"in between"}, texts(inStream("end", got)))
	after := since(begin.Offset, inStream("s", got))
	assertChain(t, begin, after)
	assert.Equal(t, []string{"c"}, texts(after), "only this message was published after Follow")
}

func restored(t *testing.T, c Config) {
	if c.Restore == nil {
		t.Skip("Config.Restore is nil")
	}
	l := listen(t, c)
	before := l.follow("s")
	l.publish(text("s", "kept"))
	lost := map[string]bool{before.Epoch: true}
	c.Restore(t, l.given, func() {
		l.publish(text("s", "lost"))
		l.publish(text("s", "lost, too"))
		lost[l.position("s").Epoch] = true
	})
	_ = l.stop() // whatever the restore has made of it
	after := l.follow("s")
	assert.False(t, lost[after.Epoch], "Follow returns an epoch of which messages are lost")
	assert.Equal(t, after, l.position("s"), "Positions and Read return the new epoch too")
	assert.Empty(t, filled(l.read("s", 0, 10).Messages), "these messages belong to another epoch")
	l.run()
	l.source, l.number = l.source+"+", 0 // the numbers may have gone back too
	l.publish(text("s", "new"))
	got := flatten(l.awaitPayload("new"))
	assert.Equal(t, after.Epoch, got[len(got)-1].Epoch)
}
