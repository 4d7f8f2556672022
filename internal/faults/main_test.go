package faults

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// The defaults keep the tests short; make faults sets the full sizes.
var (
	networkDuration = flag.Duration("network-duration", 2*time.Second, "how long TestNetworkFaults publishes changes")
	networkConns    = flag.Int("network-conns", 50, "connections of TestNetworkFaults")
	networkRate     = flag.Int("network-rate", 200, "changes per second in TestNetworkFaults")
	kills           = flag.Int("kills", 2, "how often TestKilledServers kills the server")
	seed            = flag.Uint64("seed", 0, "seed of the random choices; 0 derives it from the time")
)

// TestMain fails if goroutines of this module are running after all tests.
func TestMain(m *testing.M) {
	flag.Parse()
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	code := m.Run()
	left := 0
	for range 100 {
		if left = moduleGoroutines(); left == 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if left > 0 && code == 0 {
		fmt.Fprintf(os.Stderr, "%d goroutines are still running\n", left)
		code = 1
	}
	os.Exit(code)
}

func moduleGoroutines() (count int) {
	buf := make([]byte, 16<<20)
	for _, stack := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")[1:] {
		if strings.Contains(stack, "github.com/rohrpost/rohrpost") {
			count++
		}
	}
	return count
}
