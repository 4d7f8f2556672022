package brokertest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/brokertest"
)

func TestMemory(t *testing.T) {
	brokertest.Run(t, brokertest.Config{
		Open: func(*testing.T) brokertest.Broker {
			return rohrpost.NewMemory(rohrpost.History{TTL: 100 * time.Millisecond})
		},
		Peer:         func(_ *testing.T, b brokertest.Broker) brokertest.Broker { return b },
		DeliversMore: true,
		Concurrent:   true,
		End: func(t *testing.T, b brokertest.Broker, stream string) {
			require.Eventually(t, func() bool {
				epochs, _, err := b.Positions(t.Context(), []string{stream})
				return err == nil && epochs[0] == ""
			}, 10*time.Second, 10*time.Millisecond)
		},
	})
}
