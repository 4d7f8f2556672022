package brokertest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/rohrpost/rohrpost/broker"
)

var hubClauses = []clause{
	{"several hubs: each gets the messages of all in one order", hubsShareStreams},
	{"several hubs: each has its own subscriptions", hubsSubscribeSeparately},
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
	assert.Equal(t, one.subscribe("s").Epoch, two.subscribe("s").Epoch, "both hubs see the same epoch")
	var publishers sync.WaitGroup
	for p, l := range []*listener{one, two} {
		publishers.Go(func() {
			for i := range each {
				batch := []broker.Message{text("s", fmt.Sprint(p, " ", i)), text("s", fmt.Sprint(p, " ", i, "'"))}
				assert.NoError(t, l.broker.Publish(t.Context(), batch))
			}
		})
	}
	publishers.Wait()
	first, second := one.await(4*each), two.await(4*each)
	assert.Equal(t, payloads(flatten(first)), payloads(flatten(second)))
	assert.Len(t, first, 2*each)
	assert.Len(t, second, 2*each)
	if one.hasPositions {
		assert.Equal(t, sequence(1, 4*each), offsets(flatten(first)))
		assert.Equal(t, sequence(1, 4*each), offsets(flatten(second)))
		assert.Equal(t, one.position("s").Offset, two.position("s").Offset)
	}
}

func hubsSubscribeSeparately(t *testing.T, c Config) {
	one, two := listenTwice(t, c)
	one.subscribe("s")
	two.subscribe("s")
	two.subscribe("end")
	two.unsubscribe("s")
	two.publish(text("s", "1"))
	assert.Equal(t, []string{"1"}, payloads(flatten(one.await(1))), "the first hub is still subscribed")
	if !c.DeliversUnsubscribed {
		two.publish(text("end", "end"))
		assert.Equal(t, []string{"end"}, payloads(flatten(two.awaitPayload("end"))))
	}
	one.requirePositions()
	one.publish(withID("s", "x", "2"))
	two.publish(withID("s", "x", "again"))
	one.publish(text("s", "3"))
	assert.Equal(t, []string{"1", "2", "3"}, payloads(flatten(one.awaitPayload("3"))), "an ID counts for all hubs")
}
