package natsbroker_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/natsbroker"
)

// crash kills the server, starts it again, and waits until the Brokers are connected.
func crash(t *testing.T, s *server, brokers ...opened) {
	s.Kill()
	s.Start()
	for _, b := range brokers {
		require.Eventually(t, b.nc.IsConnected, 20*time.Second, time.Millisecond)
	}
}

// TestOneHubChanges lets many hubs find at the same time that the server has restarted. One
// of them changes the stream in JetStream, once: a server that gets two such updates at
// the same time may listen twice, and then takes no batch any more.
func TestOneHubChanges(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	brokers := []opened{open(t, s, natsbroker.Config{Files: true})}
	for range 7 {
		brokers = append(brokers, open(t, s, brokers[0].config))
	}
	require.NoError(t, brokers[0].Migrate(t.Context()))
	for round := range uint64(5) {
		crash(t, s, brokers...)
		updates, err := brokers[0].nc.SubscribeSync("$JS.EVENT.ADVISORY.STREAM.UPDATED.>")
		require.NoError(t, err)
		require.NoError(t, brokers[0].nc.Flush())
		var all sync.WaitGroup
		for i, b := range brokers {
			all.Go(func() {
				message := broker.Message{Stream: "g", Payload: []byte("x")}
				batch := broker.Batch{Source: fmt.Sprint(i), Number: round + 1, Messages: []broker.Message{message}}
				assert.NoError(t, b.Publish(t.Context(), []broker.Batch{batch}))
			})
		}
		all.Wait()
		_, err = updates.NextMsg(5 * time.Second)
		require.NoError(t, err)
		_, err = updates.NextMsg(50 * time.Millisecond)
		require.Error(t, err, "a second update")
		h, err := brokers[0].Read(t.Context(), "g", 0, 100)
		require.NoError(t, err)
		assert.Len(t, h.Messages, len(brokers), "each once")
		require.NoError(t, updates.Unsubscribe())
	}
}

// TestHubEndsAsItChanges lets a hub end that was about to change the stream. Another one
// does so.
func TestHubEndsAsItChanges(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	one := open(t, s, natsbroker.Config{Files: true})
	require.NoError(t, one.Migrate(t.Context()))
	two := open(t, s, one.config)
	era := one.Era()
	crash(t, s, one, two)
	claimed, err := one.Claim(t.Context(), era)
	require.NoError(t, err)
	require.True(t, claimed)
	claimed, err = two.Claim(t.Context(), era)
	require.NoError(t, err)
	require.False(t, claimed, "one does so")
	require.NoError(t, two.Migrate(t.Context()))
	assert.NotEqual(t, era, two.Era())
}
