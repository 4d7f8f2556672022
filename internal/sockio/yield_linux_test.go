package sockio

import (
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestYieldLetsTheNetworkIn has one processor and a goroutine that waits for a byte which has
// come already. Only where the runtime looks at the network it can go on.
func TestYieldLetsTheNetworkIn(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, poll := range []bool{true, false} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		far, err := net.Dial("tcp", listener.Addr().String())
		require.NoError(t, err)
		near, err := listener.Accept()
		require.NoError(t, err)
		var read atomic.Int32
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				if _, err := near.Read(make([]byte, 1)); err != nil {
					return
				}
				read.Add(1)
			}
		}()
		y := Yielder{Poll: true}
		yield := y.Yield
		if !poll {
			yield = runtime.Gosched
		}
		var counts []int
		for n := range int32(20) {
			_, err := far.Write([]byte{1})
			require.NoError(t, err)
			yields := 0
			for ; read.Load() == n; yields++ {
				yield()
			}
			counts = append(counts, yields)
		}
		y.Close()
		slices.Sort(counts)
		median := counts[len(counts)/2] // a machine with other work lets some wait longer
		if poll {
			assert.Less(t, median, 5)
		} else {
			assert.Greater(t, median, 20, "Gosched is not enough, or the Yielder is not needed any more")
		}
		require.NoError(t, near.Close())
		<-done
		require.NoError(t, far.Close())
		require.NoError(t, listener.Close())
	}
}

// A Yielder that has let others run for long does not wait for all of them again.
func TestYieldAmongBusyGoroutines(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var stop atomic.Bool
	var busy sync.WaitGroup
	for range 4 {
		busy.Go(func() {
			for !stop.Load() {
				for began := time.Now(); time.Since(began) < 3*time.Millisecond; {
				}
				runtime.Gosched()
			}
		})
	}
	var y Yielder
	for range 3 {
		y.Yield()
	}
	assert.Positive(t, y.crowded)
	assert.NotNil(t, y.event, "it polls")
	stop.Store(true)
	busy.Wait()
	for range crowdedYields + 1 {
		y.Yield()
	}
	y.Close()
}

// The deadline of crowded calls ends with them: those after them would return at once, and not
// let the runtime look at the network.
func TestYieldLeavesNoDeadline(t *testing.T) {
	y := Yielder{Poll: true, crowded: 1}
	defer y.Close()
	y.Yield()
	time.Sleep(2 * maxYield)
	y.crowded, y.sent = 0, false
	assert.NoError(t, y.raw.Read(y.pass))
}

// Others that can run do so before a Yielder goes on, with and without files to open.
func TestYieldLetsOthersRun(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, poll := range []bool{true, false} {
		var ran atomic.Bool
		y := Yielder{Poll: poll}
		go func() { ran.Store(true) }()
		for n := 0; !ran.Load() && n < 100; n++ {
			y.Yield()
		}
		assert.True(t, ran.Load())
		y.Close()
		y.Close()
	}
}
