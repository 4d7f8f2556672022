package brokertest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
)

var hubClauses = []clause{
	{"several hubs: what one publishes all deliver, in one order", hubsShareStreams},
	{"several hubs: each has subscriptions of its own", hubsSubscribeAlone},
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
	epoch, _ := one.subscribe("s")
	other, _ := two.subscribe("s")
	assert.Equal(t, epoch, other, "one stream, one epoch")
	var publishers sync.WaitGroup
	for p, l := range []*listener{one, two} {
		publishers.Go(func() {
			for i := range each {
				assert.NoError(t, l.broker.Publish(t.Context(), []Message{text("s", fmt.Sprint(p, " ", i)), text("s", fmt.Sprint(p, " ", i, "'"))}))
			}
		})
	}
	publishers.Wait()
	first, second := one.await(4*each), two.await(4*each)
	assert.Equal(t, payloads(flat(first)), payloads(flat(second)))
	assert.Len(t, first, 2*each)
	assert.Len(t, second, 2*each)
	if one.keeps {
		assert.Equal(t, count(1, 4*each), offsets(flat(first)))
		assert.Equal(t, count(1, 4*each), offsets(flat(second)))
		_, at := one.position("s")
		_, there := two.position("s")
		assert.Equal(t, at, there)
	}
}

func hubsSubscribeAlone(t *testing.T, c Config) {
	one, two := listenTwice(t, c)
	one.subscribe("s")
	two.subscribe("s")
	two.subscribe("end")
	two.unsubscribe("s")
	two.publish(text("s", "1"))
	assert.Equal(t, []string{"1"}, payloads(flat(one.await(1))), "the other hub is still subscribed")
	if !c.DeliversMore {
		two.publish(text("end", "end"))
		assert.Equal(t, []string{"end"}, payloads(flat(two.awaitLast("end"))))
	}
	one.needPositions()
	one.publish(Message{Stream: "s", ID: "x", Payload: []byte("2")})
	two.publish(Message{Stream: "s", ID: "x", Payload: []byte("again")})
	one.publish(text("s", "3"))
	assert.Equal(t, []string{"1", "2", "3"}, payloads(flat(one.awaitLast("3"))), "an ID counts whoever publishes it")
}
