package natsbroker_test

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/brokertest"
	"github.com/rohrpost/rohrpost/internal/enginefaults"
	"github.com/rohrpost/rohrpost/natsbroker"
)

// TestClusterContract has two hubs at different servers of a cluster.
func TestClusterContract(t *testing.T) {
	t.Parallel()
	s := startCluster(t)
	brokertest.Run(t, brokertest.Config{
		Open:     func(t *testing.T) broker.Broker { return openInCluster(t, s[0], natsbroker.Config{MaxBytes: 8 << 20}) },
		Peer:     func(t *testing.T, b broker.Broker) broker.Broker { return openInCluster(t, s[1], b.(opened).config) },
		Patience: patience,
	})
}

// openInCluster waits until the cluster has chosen its leaders.
func openInCluster(t testing.TB, s *server, c natsbroker.Config) opened {
	o := open(t, s, c)
	require.Eventually(t, func() bool { return o.Migrate(t.Context()) == nil }, time.Minute, 100*time.Millisecond)
	return o
}

// TestCluster loses a server of three, at which one of the hubs is, and the leader.
func TestCluster(t *testing.T) {
	t.Parallel()
	s := startCluster(t)
	o := openInCluster(t, s[0], natsbroker.Config{})
	found := o.stream(t).CachedInfo().Config
	assert.Equal(t, 3, found.Replicas)
	assert.Equal(t, jetstream.FileStorage, found.Storage, "memory would be lost without a trace when all servers end")
	wrong := open(t, s[0], natsbroker.Config{Replicas: 1})
	require.ErrorContains(t, wrong.Migrate(t.Context()), "in the cluster test: there it must be 3")
	begin := follow(t, o)
	for n := range uint64(30) {
		publish(t, o, n+1, "x")
	}
	s[0].Kill()
	b := open(t, s[1], o.config)
	require.Eventually(t, func() bool {
		at, err := b.Positions(t.Context(), []string{"g"})
		return err == nil && at[0].Epoch == begin.Epoch
	}, 30*time.Second, 100*time.Millisecond, "the same epoch: nothing was lost")
	h, err := b.Read(t.Context(), "g", begin.Offset, 100)
	require.NoError(t, err)
	assert.Len(t, h.Messages, 30)
	taken, err := b.Taken(t.Context(), "s")
	require.NoError(t, err)
	assert.EqualValues(t, 30, taken)
}

// TestClusterFaults lets servers of a cluster fail while pages at two hubs follow it.
func TestClusterFaults(t *testing.T) {
	if *faultRuns == 0 {
		t.Skip("runs with -faults")
	}
	for name, count := range map[string]int{"one": 1, "all": 3} {
		t.Run(name, func(t *testing.T) {
			for range *faultRuns {
				s := startCluster(t)
				config, next := natsbroker.Config{App: "test-" + rand.Text(), MaxBytes: 64 << 20}, 0
				r := enginefaults.Run(t, enginefaults.Config{
					Open: func() broker.Broker {
						next++
						return openInCluster(t, s[next%3], config).Broker
					},
					Fault: func(func()) {
						for i := range count {
							s[i].Kill()
						}
						time.Sleep(time.Second)
						for i := range count {
							s[i].Start()
						}
					},
					Cut: true,
					Log: t.Output(),
				})
				t.Logf("%d die: %d expected, %d delivered, %d loaded, back after %v, recovered %d, not %v, resyncs %v",
					count, r.Expected, r.Delivered, r.Loaded, r.Back.Round(time.Millisecond), r.Recovered, r.NotRecovered, r.Resyncs)
			}
		})
	}
}
