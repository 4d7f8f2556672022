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

// The defaults are small; make faults sets larger values.
var (
	jitterDuration = flag.Duration("jitter-duration", 2*time.Second, "the time in which changes are published")
	jitterConns    = flag.Int("jitter-conns", 50, "the number of connections")
	jitterRate     = flag.Int("jitter-rate", 200, "the number of changes a second")
	kills          = flag.Int("kills", 2, "the number of times that the server is killed")
	seed           = flag.Uint64("seed", 0, "the seed of all random choices; 0: the time")
)

// TestMain fails when goroutines of this module are left after all tests.
func TestMain(m *testing.M) {
	flag.Parse()
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	code := m.Run()
	left := 0
	for range 100 {
		if left = ownGoroutines(); left == 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if left > 0 && code == 0 {
		fmt.Fprintf(os.Stderr, "%d goroutines left\n", left)
		code = 1
	}
	os.Exit(code)
}

func ownGoroutines() (own int) {
	buf := make([]byte, 16<<20)
	for _, stack := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")[1:] {
		if strings.Contains(stack, "github.com/rohrpost/rohrpost") {
			own++
		}
	}
	return own
}
