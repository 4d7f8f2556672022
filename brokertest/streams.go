package brokertest

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var streamClauses = []clause{
	{"a stream begins with Subscribe and an epoch", beginsWithSubscribe},
	{"an epoch never comes back", epochNeverComesBack},
	{"a stream that begins again has another epoch", beginsAgain},
	{"Positions are those of the streams asked for, in their order", positionsInOrder},
	{"any key of printable ASCII is a stream of its own", anyKey},
	{"what nobody has asked for does no harm", unasked},
}

func beginsWithSubscribe(t *testing.T, c Config) {
	l := listenKeeping(t, c)
	epoch, offset := l.position("s")
	assert.Empty(t, epoch, "nobody has asked for it")
	assert.Zero(t, offset)
	_, _, messages := l.history("s", 0, 10)
	assert.Empty(t, messages)
	epoch, _ = l.position("s")
	assert.Empty(t, epoch, "to look at a stream does not begin it")

	epoch, offset = l.subscribe("s")
	assert.NotEmpty(t, epoch)
	assert.Zero(t, offset, "nothing was published")
	now, at := l.position("s")
	assert.Equal(t, epoch, now)
	assert.Zero(t, at)
	l.publish(text("s", "a"))
	got := flat(l.await(1))
	assert.Equal(t, epoch, got[0].Epoch)
	assert.EqualValues(t, 1, got[0].Offset)
}

func epochNeverComesBack(t *testing.T, c Config) {
	seen := map[string]bool{}
	for range 3 {
		l := listenKeeping(t, c)
		for _, stream := range []string{"a", "b"} {
			epoch, _ := l.subscribe(stream)
			assert.False(t, seen[epoch], "the epoch %q has come twice", epoch)
			seen[epoch] = true
		}
	}
}

func beginsAgain(t *testing.T, c Config) {
	if c.End == nil {
		t.Skip("Config.End is nil")
	}
	l := listenKeeping(t, c)
	seen := map[string]bool{}
	for range 3 {
		epoch, offset := l.subscribe("s")
		require.NotEmpty(t, epoch)
		assert.False(t, seen[epoch], "the epoch %q has come twice", epoch)
		seen[epoch] = true
		_, _, messages := l.history("s", 0, 10)
		assert.Empty(t, messages, "they belong to another epoch")
		l.publish(Message{Stream: "s", ID: "same", Payload: []byte("a")})
		_, now := l.position("s")
		assert.Equal(t, offset+1, now, "the new epoch does not know the ID")
		l.unsubscribe("s")
		c.End(t, l.broker, "s")
		epoch, _ = l.position("s")
		assert.Empty(t, epoch, "it has ended")
	}
}

func positionsInOrder(t *testing.T, c Config) {
	l := listenKeeping(t, c)
	first, _ := l.subscribe("a")
	second, _ := l.subscribe("b")
	l.publish(text("b", "1"), text("a", "1"), text("b", "2"))
	epochs, at, err := l.broker.Positions(t.Context(), []string{"b", "unknown", "a", "b"})
	require.NoError(t, err)
	assert.Equal(t, []string{second, "", first, second}, epochs)
	assert.Equal(t, []uint64{2, 0, 1, 2}, at)
	epochs, at, err = l.broker.Positions(t.Context(), nil)
	require.NoError(t, err)
	assert.Empty(t, epochs)
	assert.Empty(t, at)
}

func anyKey(t *testing.T, c Config) {
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
	got := flat(l.await(len(keys)))
	for _, key := range keys {
		assert.Equal(t, []string{"for " + key}, payloads(of(key, got)), "delivered in %q", key)
		if l.keeps {
			_, offset, messages := l.history(key, 0, 10)
			assert.EqualValues(t, 1, offset, "%q", key)
			assert.Equal(t, []string{"for " + key}, payloads(messages), "kept in %q", key)
		}
	}

	other := listen(t, c)
	for _, pattern := range []string{"*", ">", "a*", "a.*", "a.>", "?", "[a-z]*", "{a,b}"} {
		other.subscribe(pattern)
	}
	other.publish(text("a.b", "none of these"), text("b", "nor this"), text("*", "end"))
	assert.Equal(t, []string{"end"}, payloads(flat(other.awaitLast("end"))), "a key is no pattern")
}

func unasked(t *testing.T, c Config) {
	l := listen(t, c)
	l.publish(text("s", "a"), Message{Stream: "s", Plain: true}, Message{Stream: "s", ID: "x", Payload: []byte("b")})
	epoch, offset := l.subscribe("s")
	l.publish(text("s", "c"))
	got := flat(l.awaitLast("c"))
	assert.Equal(t, []string{"c"}, payloads(got), "only what was published after Subscribe")
	if l.keeps {
		assert.Equal(t, epoch, got[0].Epoch)
		assert.Equal(t, offset+1, got[0].Offset)
	}
}
