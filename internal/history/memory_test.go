package history

import (
	"flag"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/rohrpost/rohrpost/internal/shards"
	"github.com/stretchr/testify/assert"
)

var groups = flag.Int("groups", 50_000, "the number of groups that come and go in TestMemoryComesBack")

// The memory of histories is bounded while groups come and go, and is back at its base when
// they have expired.
func TestMemoryComesBack(t *testing.T) {
	now := time.Duration(0)
	s := New(Config{Limits: Limits{MaxUnused: *groups / 10, MaxTotalBytes: 16 << 20}, Now: func() time.Duration { return now }})
	defer s.Close()
	before := settledHeap()
	for i := range *groups {
		name := fmt.Sprint("group-", i)
		s.Subscribe(name)
		put(t, s, name, 2, 200)
		s.Unsubscribe(name)
	}
	kept := len(s.Keys(func(string) bool { return true }))
	assert.LessOrEqual(t, kept, *groups/10+shards.Count)
	t.Logf("%d groups: %d histories in %d KiB", *groups, kept, int(settledHeap()-before)>>10)
	now += 24 * time.Hour
	s.Expire()
	assert.Empty(t, s.Keys(func(string) bool { return true }))
	after := settledHeap()
	t.Logf("expired: %d KiB", (int(after)-int(before))>>10)
	assert.Less(t, int(after)-int(before), 1<<20, "the memory is back at its base")
	runtime.KeepAlive(s)
}

func settledHeap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
