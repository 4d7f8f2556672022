package natsbroker_test

import (
	"flag"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/enginefaults"
	"github.com/rohrpost/rohrpost/natsbroker"
)

var faultRuns = flag.Int("faults", 0, "the number of runs of each fault of the engine")

// TestFaults lets a private server fail while pages at two hubs follow it. No page may
// miss a change without being told.
func TestFaults(t *testing.T) {
	if *faultRuns == 0 {
		t.Skip("runs with -faults")
	}
	for kept, files := range map[string]bool{"memory": false, "files": true} {
		t.Run(kept, func(t *testing.T) {
			enginefaults.RunEach(t, *faultRuns, func(t *testing.T) (enginefaults.Engine, enginefaults.Config) {
				s := startServer(t)
				return s, enginefaults.Config{
					Open: func() broker.Broker {
						b, err := natsbroker.New(connect(t, s.address()), natsbroker.Config{App: "faults", Files: files, MaxBytes: 64 << 20})
						require.NoError(t, err)
						return b
					},
					Cut: true,
				}
			})
		})
	}
}
