package brokertest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/brokertest"
)

func memoryConfig() brokertest.Config {
	return brokertest.Config{
		Open: func(*testing.T) broker.Broker {
			return rohrpost.NewMemoryBroker(rohrpost.HistoryLimits{KeepUnused: 100 * time.Millisecond, MaxMessages: 1000})
		},
		Peer: func(_ *testing.T, b broker.Broker) broker.Broker { return b.(*rohrpost.MemoryBroker).Peer() },
		EndStream: func(t *testing.T, b broker.Broker, stream string) {
			require.Eventually(t, func() bool {
				positions, err := b.Positions(t.Context(), []string{stream})
				return err == nil && positions[0].Epoch == ""
			}, 10*time.Second, 10*time.Millisecond)
		},
		DeliversUnfollowed:   true,
		DeliversConcurrently: true,
	}
}

func TestMemoryBroker(t *testing.T) { brokertest.Run(t, memoryConfig()) }

// TestSkipping shows that the suite allows offsets that skip, and empty messages.
func TestSkipping(t *testing.T) {
	type skipping struct {
		broker.Broker
		memory *rohrpost.MemoryBroker
	}
	c := memoryConfig()
	below := c.EndStream
	c.Open = func(*testing.T) broker.Broker {
		m := rohrpost.NewMemoryBroker(rohrpost.HistoryLimits{KeepUnused: 100 * time.Millisecond, MaxMessages: 1000})
		return skipping{brokertest.Skipping(m), m}
	}
	c.Peer = func(_ *testing.T, b broker.Broker) broker.Broker {
		m := b.(skipping).memory.Peer()
		return skipping{brokertest.Skipping(m), m}
	}
	c.EndStream = func(t *testing.T, b broker.Broker, stream string) { below(t, b.(skipping).memory, stream) }
	brokertest.Run(t, c)
}
