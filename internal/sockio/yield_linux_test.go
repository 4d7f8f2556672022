package sockio

import (
	"net"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"

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
		y := Yielder{Poll: poll}
		var counts []int
		for n := range int32(20) {
			_, err := far.Write([]byte{1})
			require.NoError(t, err)
			yields := 0
			for ; read.Load() == n; yields++ {
				y.Yield()
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
