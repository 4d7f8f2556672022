package natsbroker_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/enginefaults"
	"github.com/rohrpost/rohrpost/natsbroker"
)

var partitions = flag.Int("partitions", 10, "how often the lines between hubs and the engine fail")

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

// TestPartitions lets the lines between two hubs and the server fail.
func TestPartitions(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	t.Parallel()
	s := startServer(t)
	enginefaults.RunPartitioned(t, *partitions, fmt.Sprint("127.0.0.1:", s.port), func(address string) broker.Broker {
		b, err := natsbroker.New(connect(t, "nats://"+address), natsbroker.Config{App: "faults"})
		require.NoError(t, err)
		return b
	}, enginefaults.Config{Pages: 40, Log: t.Output()})
}

// TestFull has another stream fill the memory that the server may use. Of the program it
// reserves none.
func TestFull(t *testing.T) {
	t.Parallel()
	config := filepath.Join(t.TempDir(), "server.conf")
	require.NoError(t, os.WriteFile(config, []byte("jetstream { max_memory_store: 100MB }"), 0o600))
	s := startServer(t, "--config", config)
	js, err := jetstream.New(connect(t, s.address()))
	require.NoError(t, err)
	filler := jetstream.StreamConfig{Name: "filler", Subjects: []string{"filler"}, Storage: jetstream.MemoryStorage}
	enginefaults.RunFull(t, enginefaults.Config{
		Open: func() broker.Broker {
			b, err := natsbroker.New(connect(t, s.address()), natsbroker.Config{App: "full", MaxBytes: -1})
			require.NoError(t, err)
			return b
		},
	}, enginefaults.Full{
		Fill: func() {
			_, err := js.CreateStream(context.Background(), filler)
			require.NoError(t, err)
			for size := 512 << 10; size > 0; { // down to the last byte
				if _, err := js.Publish(context.Background(), "filler", make([]byte, size)); err != nil {
					size /= 2
				}
			}
		},
		Empty:   func() { require.NoError(t, js.DeleteStream(context.Background(), filler.Name)) },
		Remedy:  "raise the limits of JetStream",
		Signals: true,
	})
}

// TestFullDisk fills the disk on which the server keeps its files.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	disk := enginefaults.NewDisk(t, 64<<20)
	s := startServer(t, "--jetstream", "--store_dir", disk.Dir)
	enginefaults.RunFull(t, enginefaults.Config{
		Open: func() broker.Broker {
			b, err := natsbroker.New(connect(t, s.address()), natsbroker.Config{App: "full", Files: true, MaxBytes: -1})
			require.NoError(t, err)
			return b
		},
	}, enginefaults.Full{Fill: disk.Fill, Empty: disk.Empty, Signals: true, Remedy: "make room on the disk of the server"})
}

// TestFullBytes reaches Config.MaxBytes while lines of pages are cut: the server drops
// messages that pages have missed.
func TestFullBytes(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	config := natsbroker.Config{App: "full", MaxBytes: 256 << 10}
	flood := open(t, s, config)
	enginefaults.Run(t, enginefaults.Config{
		Open: func() broker.Broker { return open(t, s, config) },
		Fault: func(meanwhile func()) {
			follow(t, flood)
			for n := range uint64(200) {
				publish(t, flood, n+1, strings.Repeat("x", 16<<10))
			}
			meanwhile()
		},
		Cut: true, Pages: 40,
	})
}
