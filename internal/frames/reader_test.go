package frames_test

import (
	"bytes"
	"runtime"
	"testing"

	"github.com/rohrpost/rohrpost/internal/frames"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A message of one-byte fragments costs memory as one that comes whole: GHSA-96hv-2xvq-fx4p
// is such a message, for another server.
func TestTinyFragments(t *testing.T) {
	const size = 60_000
	var sent bytes.Buffer
	for i := range size {
		first := byte(frames.Continuation)
		if i == 0 {
			first = frames.Text
		}
		if i == size-1 {
			first |= 0x80
		}
		sent.Write([]byte{first, 0x81, 0, 0, 0, 0, 'x'})
	}
	r := frames.NewReader(&sent, size)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for done := false; !done; {
		h, err := r.Next()
		require.NoError(t, err)
		var message []byte
		_, message, done, err = r.Data(h)
		require.NoError(t, err)
		if done {
			assert.Len(t, message, size)
			assert.LessOrEqual(t, cap(message), 2*size)
		}
	}
	runtime.ReadMemStats(&after)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8*size))
}
