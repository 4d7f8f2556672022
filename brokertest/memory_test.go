package brokertest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/brokertest"
)

func TestMemoryBroker(t *testing.T) {
	brokertest.Run(t, brokertest.Config{
		Open: func(*testing.T) broker.Broker {
			return rohrpost.NewMemoryBroker(rohrpost.HistoryLimits{KeepUnused: 100 * time.Millisecond})
		},
		Peer: func(_ *testing.T, b broker.Broker) broker.Broker { return b }, // several hubs may share one
		EndStream: func(t *testing.T, b broker.Broker, stream string) {
			require.Eventually(t, func() bool {
				positions, err := b.Positions(t.Context(), []string{stream})
				return err == nil && positions[0].Epoch == ""
			}, 10*time.Second, 10*time.Millisecond)
		},
		DeliversUnsubscribed: true,
		DeliversConcurrently: true,
	})
}
