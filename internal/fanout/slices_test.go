package fanout

import (
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rohrpost/rohrpost/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// countingOwner counts what a member tells it.
type countingOwner struct {
	fakeOwner
	taken, slow atomic.Int32
}

func (o *countingOwner) Taken()              { o.taken.Add(1) }
func (o *countingOwner) SlowConsumer(string) { o.slow.Add(1) }

// TestWriteTimeoutBeginsAnew reads a long message slowly. The member is not slow as long as
// it takes something within the timeout of one second, however long the message takes.
func TestWriteTimeoutBeginsAnew(t *testing.T) {
	for name, test := range map[string]struct {
		bytes int           // read at a time
		pause time.Duration // before that
		slow  bool
	}{
		"slices":          {maxSlice, 900 * time.Millisecond, false},
		"parts of slices": {1000, 900 * time.Millisecond, false},
		"nothing in time": {maxSlice, 1100 * time.Millisecond, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newTestEngine(t, 1)
				near, far := net.Pipe()
				var m Member
				owner := &countingOwner{}
				e.Init(&m, near, nil, owner)
				frame := wire.TextFrame(make([]byte, 100_000))
				start := time.Now()
				require.NoError(t, m.Push(frame))
				read, buffer := 0, make([]byte, test.bytes)
				for read < len(frame) {
					time.Sleep(test.pause)
					n, err := far.Read(buffer)
					if read += n; err != nil {
						break
					}
				}
				synctest.Wait()
				assert.Equal(t, test.slow, m.Ended())
				assert.Equal(t, test.slow, owner.slow.Load() == 1)
				if !test.slow {
					assert.Equal(t, len(frame), read)
					assert.Greater(t, time.Since(start), 5*time.Second)
					assert.Greater(t, owner.taken.Load(), int32(5))
					assert.Zero(t, m.Waiting())
				}
				m.Abort()
				m.Close()
				require.NoError(t, far.Close())
			})
		})
	}
}
