package enginefaults

import (
	"context"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/faults"
)

const (
	// healedWithin is the time in which all pages have what was published while a hub was
	// cut off.
	healedWithin = 12 * time.Second

	// silence is longer than the time after which pages are told that they may see old
	// data.
	silence = 8 * time.Second

	// Much more than waits in a hub is published while it is cut off.
	bulkChanges, bulkBytes = 3072, 64 << 10

	// maxGrowth is what a hub that is cut off may take: what waits, 32 MiB, and as much
	// again, also where three tests do this at the same time.
	maxGrowth = 128 << 20
)

// RunPartitioned puts a proxy between each hub and the engine, and lets the proxies fail at
// random, count times: they delay what they forward, or slice it, cut connections, or are
// silent in one direction or both. It fails t if Run would, if the pages need more than 12
// seconds afterwards, if they are not told that they may see old data, or if a hub that
// is cut off takes more memory than it may.
func RunPartitioned(t *testing.T, count int, engine string, open func(address string) broker.Broker, c Config) Result {
	var lines []*faults.Proxy
	c.Open = func() broker.Broker {
		line, err := faults.NewProxy(engine)
		require.NoError(t, err)
		t.Cleanup(line.Close)
		lines = append(lines, line)
		return open(line.Addr())
	}
	c.fault = func(t testing.TB, e *test) {
		for range count {
			e.partition(t, lines)
		}
		e.silence(t, lines)
	}
	return Run(t, c)
}

// partition lets some lines fail for up to five seconds, and waits until all pages are up to
// date.
func (e *test) partition(t testing.TB, lines []*faults.Proxy) {
	all, what := faults.Faults(), make([]faults.Fault, len(lines))
	certain := rand.IntN(len(lines))
	for i, line := range lines {
		if i == certain || rand.IntN(2) == 0 {
			what[i] = all[rand.IntN(len(all))]
			line.Inject(what[i], []int{1, 7, 64}[rand.IntN(3)])
		}
	}
	lasted := 100*time.Millisecond + rand.N(5*time.Second)
	time.Sleep(lasted)
	for _, line := range lines {
		line.Clear(rand.IntN(2) == 0)
	}
	ended, counts := time.Now(), e.counts()
	for !e.have(counts) && time.Since(ended) < healedWithin {
		time.Sleep(10 * time.Millisecond)
	}
	took := time.Since(ended).Round(time.Millisecond)
	t.Logf("%v for %v: back after %v", what, lasted.Round(time.Millisecond), took)
	assert.Less(t, took, healedWithin, "all pages are up to date")
}

// silence cuts all hubs off, until their pages know. One of them gets more than may wait.
func (e *test) silence(t testing.TB, lines []*faults.Proxy) {
	var watchers []*watcher
	for _, address := range e.addresses {
		watchers = append(watchers, watch(t, address))
	}
	for _, line := range lines {
		line.Inject(faults.BlackHole, 0)
	}
	before, began := heap(), time.Now()
	e.publishBulk(t, bulkChanges)
	grown := heap() - before
	t.Logf("%d MiB published while the engine was away: the heap has grown by %d MiB", bulkChanges*bulkBytes>>20, grown>>20)
	assert.Less(t, grown, int64(maxGrowth), "the memory of a hub that is cut off")
	time.Sleep(silence - time.Since(began))
	for i, w := range watchers {
		assert.Equal(t, "stale", w.told(), "hub %d is cut off", i)
	}
	for _, line := range lines {
		line.Clear(false)
	}
	for i, w := range watchers {
		assert.Eventually(t, func() bool { return w.told() == "live" }, time.Minute, 20*time.Millisecond, "hub %d is back", i)
	}
}

// publishBulk publishes large changes of a group that no page follows.
func (e *test) publishBulk(t testing.TB, count int) {
	for range count {
		change := rohrpost.Change{Group: "group-1000000", Type: rohrpost.Update, Object: strings.Repeat("x", bulkBytes)}
		require.NoError(t, e.hubs[0].Publish(context.Background(), change))
	}
}

// heap returns the bytes that are in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
