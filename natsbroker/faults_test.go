package natsbroker_test

import (
	"flag"
	"strings"
	"syscall"
	"testing"
	"time"

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
	for name, fault := range map[string]func(s *server, meanwhile func()){
		"kill": func(s *server, _ func()) { s.kill(); s.start() },
		"stop": func(s *server, _ func()) {
			s.signal(syscall.SIGSTOP)
			time.Sleep(5 * time.Second)
			s.signal(syscall.SIGCONT)
		},
		"restart":      func(s *server, _ func()) { s.end(); time.Sleep(time.Second); s.start() },
		"back in time": func(s *server, meanwhile func()) { s.restore(meanwhile) },
	} {
		for kept, files := range map[string]bool{"memory": false, "files": true} {
			t.Run(strings.ReplaceAll(name, " ", "-")+"/"+kept, func(t *testing.T) {
				for range *faultRuns {
					s := startServer(t)
					r := enginefaults.Run(t, enginefaults.Config{
						Open: func() broker.Broker {
							b, err := natsbroker.New(connect(t, s.address()), natsbroker.Config{App: "faults", Files: files, MaxBytes: 64 << 20})
							require.NoError(t, err)
							return b
						},
						Fault: func(meanwhile func()) { fault(s, meanwhile) },
						Cut:   true,
						Log:   t.Output(),
					})
					t.Logf("%s: %d expected, %d delivered, %d loaded, back after %v, recovered %d, not %v, resyncs %v",
						name, r.Expected, r.Delivered, r.Loaded, r.Back.Round(time.Millisecond), r.Recovered, r.NotRecovered, r.Resyncs)
				}
			})
		}
	}
}
