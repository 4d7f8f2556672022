package brokertest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rohrpost/rohrpost/broker"
)

var hubClauses = []clause{
	{"several hubs: each gets the messages of all in one order", hubsShareStreams},
	{"several hubs: each follows its own streams", hubsFollowSeparately},
	{"several hubs: the numbers of a source count for all", hubsShareNumbers},
	{"several hubs: one that never calls Run may publish and read", hubWithoutRun},
}

// listenTwice opens the brokers of two hubs.
func listenTwice(t *testing.T, c Config) (one, two *listener) {
	t.Helper()
	if c.Peer == nil {
		t.Skip("Config.Peer is nil")
	}
	b := c.Open(t)
	return listenTo(t, c, b), listenTo(t, c, c.Peer(t, b))
}

func hubsShareStreams(t *testing.T, c Config) {
	const each = 50
	one, two := listenTwice(t, c)
	begin := one.follow("s")
	assert.Equal(t, begin.Epoch, two.follow("s").Epoch, "both hubs see the same epoch")
	var publishers sync.WaitGroup
	for p, l := range []*listener{one, two} {
		publishers.Go(func() {
			for i := range each {
				batch := []broker.Message{text("s", fmt.Sprint(p, " ", i)), text("s", fmt.Sprint(p, " ", i, "'"))}
				assert.NoError(t, l.broker.Publish(t.Context(), []broker.Batch{l.batch(batch...)}))
			}
		})
	}
	publishers.Wait()
	first, second := flatten(one.await(4*each)), flatten(two.await(4*each))
	assert.Equal(t, texts(first), texts(second))
	assert.Len(t, texts(first), 4*each)
	assert.Equal(t, offsets(filled(first)), offsets(filled(second)))
	assertChain(t, begin, first)
	assert.Equal(t, one.position("s"), two.position("s"))
}

func hubsFollowSeparately(t *testing.T, c Config) {
	one, two := listenTwice(t, c)
	one.follow("s")
	two.follow("s")
	two.follow("end")
	two.unfollow("s")
	two.publish(text("s", "1"))
	assert.Equal(t, []string{"1"}, texts(flatten(one.await(1))), "the first hub still follows")
	if !c.DeliversUnfollowed {
		two.publish(text("end", "end"))
		assert.Equal(t, []string{"end"}, texts(flatten(two.awaitPayload("end"))))
	}
}

func hubsShareNumbers(t *testing.T, c Config) {
	const count = 60
	one, two := listenTwice(t, c)
	begin := one.follow("s")
	publishBeside(t, count, one.broker, two.broker, one.broker)
	one.publish(text("s", "end"))
	got := flatten(one.awaitPayload("end"))
	want := []string{}
	for n := range count {
		want = append(want, fmt.Sprint(n+1), fmt.Sprint(n+1, "'"))
	}
	found := texts(got)
	assert.Equal(t, want, found[:min(count*2, len(found))], "each once, and in the order of the numbers")
	assertChain(t, begin, got)
	assert.Equal(t, two.taken("relay"), one.taken("relay"))
}

// hubWithoutRun is a worker process, which has no connections.
func hubWithoutRun(t *testing.T, c Config) {
	if c.Peer == nil {
		t.Skip("Config.Peer is nil")
	}
	b := c.Open(t)
	l := listenTo(t, c, b)
	begin := l.follow("s")
	worker := guarded(c.Peer(t, b), c)
	batch := broker.Batch{Source: "worker", Number: 1, Messages: []broker.Message{text("s", "1")}}
	require.NoError(t, worker.Publish(t.Context(), []broker.Batch{batch}))
	assert.Equal(t, []string{"1"}, texts(flatten(l.await(1))))
	number, err := worker.Taken(t.Context(), "worker")
	require.NoError(t, err)
	assert.EqualValues(t, 1, number)
	positions, err := worker.Follow(t.Context(), []string{"s"})
	require.NoError(t, err)
	assert.Equal(t, []broker.Position{l.position("s")}, positions)
	h, err := worker.Read(t.Context(), "s", begin.Offset, 10)
	require.NoError(t, err)
	assert.Equal(t, []string{"1"}, texts(h.Messages))
	require.NoError(t, worker.Unfollow(t.Context(), []string{"s"}))
}
