package redisbroker_test

import (
	"context"
	"crypto/rand"
	"flag"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/enginefaults"
	"github.com/rohrpost/rohrpost/redisbroker"
)

var partitions = flag.Int("partitions", 10, "how often the lines between hubs and the engine fail")

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

// TestPartitions lets the lines between two hubs and the server fail.
func TestPartitions(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	t.Parallel()
	app := "test-" + rand.Text()
	enginefaults.RunPartitioned(t, *partitions, startServer(t).address(), func(address string) broker.Broker {
		return open(t, address, redisbroker.Config{App: app})
	}, enginefaults.Config{Pages: 40, Log: t.Output()})
}

// TestFull reaches maxmemory.
func TestFull(t *testing.T) {
	t.Parallel()
	s, app := startServer(t, "--maxmemory-policy", "noeviction"), "test-"+rand.Text()
	admin := connect(t, s.address())
	limit := func(bytes string) func() {
		return func() {
			set := admin.B().ConfigSet().ParameterValue().ParameterValue("maxmemory", bytes).Build()
			require.NoError(t, admin.Do(context.Background(), set).Error())
		}
	}
	enginefaults.RunFull(t, enginefaults.Config{
		Open: func() broker.Broker { return open(t, s.address(), redisbroker.Config{App: app}) },
	}, enginefaults.Full{
		Fill: limit("1mb"), Empty: limit("0"), Signals: true,
		Remedy: "raise maxmemory, or choose a maxmemory-policy that evicts",
	})
}

// TestFullDisk fills the disk on which the server keeps its data.
func TestFullDisk(t *testing.T) {
	for name, options := range map[string][]string{
		"append-only file": {"--appendonly", "yes"},
		"snapshots":        {"--save", "1 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk, app := enginefaults.NewDisk(t, 64<<20), "test-"+rand.Text()
			s := startServer(t, append(options, "--dir", disk.Dir)...)
			admin := connect(t, s.address())
			refuses := func() bool {
				err := admin.Do(context.Background(), admin.B().Set().Key("key").Value("value").Build()).Error()
				return err != nil && strings.Contains(err.Error(), "MISCONF")
			}
			enginefaults.RunFull(t, enginefaults.Config{
				Open: func() broker.Broker { return open(t, s.address(), redisbroker.Config{App: app}) },
			}, enginefaults.Full{
				Fill: func() {
					disk.Fill()
					require.Eventually(t, refuses, 20*time.Second, 10*time.Millisecond)
				},
				Empty: disk.Empty, Signals: true, Remedy: "make room on the disk of Redis",
			})
		})
	}
}
