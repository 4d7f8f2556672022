package redisbroker_test

import (
	"crypto/rand"
	"flag"
	"testing"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/enginefaults"
	"github.com/rohrpost/rohrpost/redisbroker"
)

var faultRuns = flag.Int("faults", 0, "the number of runs of each fault of the engine")

// TestFaults lets a private server fail while pages at two hubs follow it. No page may
// miss a change without being told.
func TestFaults(t *testing.T) {
	if *faultRuns == 0 {
		t.Skip("runs with -faults")
	}
	enginefaults.RunEach(t, *faultRuns, func(t *testing.T) (enginefaults.Engine, enginefaults.Config) {
		s, app := startServer(t), "test-"+rand.Text()
		return s, enginefaults.Config{
			Open: func() broker.Broker { return open(t, s.address(), redisbroker.Config{App: app}) },
			Cut:  true,
		}
	})
}
