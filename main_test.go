package rohrpost

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain fails when goroutines of this package are left after all tests:
// every goroutine has an owner that stops it and waits for it.
func TestMain(m *testing.M) {
	code := m.Run()
	var left []string
	for range 50 { // goroutines that are ending may end
		if left = ownGoroutines(); len(left) == 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if len(left) > 0 && code == 0 {
		fmt.Fprintf(os.Stderr, "%d goroutines left:\n\n%s\n", len(left), strings.Join(left, "\n\n"))
		code = 1
	}
	os.Exit(code)
}

// ownGoroutines returns the stacks of the other goroutines of this module.
func ownGoroutines() []string {
	buf := make([]byte, 16<<20)
	all := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
	var own []string
	for _, stack := range all[1:] {
		if strings.Contains(stack, "github.com/rohrpost/rohrpost") {
			own = append(own, stack)
		}
	}
	return own
}
