package redisbroker_test

import (
	"crypto/rand"
	"flag"
	"strings"
	"syscall"
	"testing"
	"time"

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
	for name, fault := range map[string]func(s *server, meanwhile func()){
		"kill": func(s *server, _ func()) { s.kill(); s.start() },
		"stop": func(s *server, _ func()) {
			s.signal(syscall.SIGSTOP)
			time.Sleep(5 * time.Second)
			s.signal(syscall.SIGCONT)
		},
		"restart": func(s *server, _ func()) {
			s.signal(syscall.SIGTERM)
			_ = s.command.Wait()
			time.Sleep(time.Second)
			s.start()
		},
		"back in time": func(s *server, meanwhile func()) { s.restore(connect(s.t, s.address()), meanwhile) },
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			for range *faultRuns {
				s := startServer(t)
				app := "test-" + rand.Text()
				r := enginefaults.Run(t, enginefaults.Config{
					Open:  func() broker.Broker { return open(t, s.address(), redisbroker.Config{App: app}) },
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
