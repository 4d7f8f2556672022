package faults

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rohrpost/rohrpost"
)

const (
	networkGroups   = 100
	groupsPerClient = 5
)

// networkTest is a hub with clients behind faulty proxies and a publisher that numbers
// its changes.
type networkTest struct {
	hub      *rohrpost.Hub
	clients  []*Client
	proxies  []*Proxy
	groups   []string
	counters []atomic.Int64 // changes published to each group
	injected [faultCount]atomic.Int64
	random   *rand.Rand
}

// TestNetworkFaults checks that every change arrives exactly once and in order while
// connections fail, if no client is disconnected for longer than the history covers.
func TestNetworkFaults(t *testing.T) {
	r := runNetworkTest(t, rohrpost.Config{}, *networkDuration, *networkConns)
	assert.False(t, r.Failed(), "%s", strings.Join(r.Problems, "\n"))
	assert.Equal(t, r.Expected, r.Delivered, "a client loaded a snapshot")
	assert.Zero(t, r.ReloadRequests(), "resyncs %v, not recovered %v", r.Resyncs, r.NotRecovered)
	assert.Positive(t, r.Recovered, "no client resumed")
}

// TestNetworkFaultsWithoutHistory calibrates the oracle: without a history it must find
// lost changes and no other problem.
func TestNetworkFaultsWithoutHistory(t *testing.T) {
	if testing.Short() {
		t.Skip("calibration only")
	}
	r := runNetworkTest(t, rohrpost.Config{DisableHistory: true}, min(*networkDuration, 15*time.Second), *networkConns)
	assert.Positive(t, r.Lost, "the oracle found no lost changes")
	assert.Equal(t, r.Expected, r.Delivered+r.Lost)
	assert.Zero(t, r.Duplicates+r.OutOfOrder+r.Phantoms, "%s", strings.Join(r.Problems, "\n"))
}

func runNetworkTest(t *testing.T, config rohrpost.Config, duration time.Duration, conns int) Result {
	config.Logger = slog.New(slog.DiscardHandler)
	nt := &networkTest{hub: rohrpost.NewHub(config), counters: make([]atomic.Int64, networkGroups), random: rand.New(rand.NewPCG(*seed, 1))}
	nt.hub.Allow("group-{n}", rohrpost.Anyone)
	server := httptest.NewServer(nt.hub)
	defer server.Close()
	for g := range networkGroups {
		nt.groups = append(nt.groups, fmt.Sprint("group-", g))
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var running sync.WaitGroup
	nt.connect(t, conns, server.Listener.Addr().String(), !config.DisableHistory)
	for _, c := range nt.clients {
		running.Go(func() { c.Run(ctx) })
	}
	require.Eventually(t, func() bool { return AllSubscribed(nt.clients) }, time.Minute, 20*time.Millisecond)

	nt.publish(duration)
	published := nt.hub.Stats().Published
	ended := time.Now()
	caughtUp := nt.waitUntilCaughtUp(!config.DisableHistory)
	catchUp := time.Since(ended)
	stop()
	running.Wait()
	for _, proxy := range nt.proxies {
		proxy.Close()
	}
	require.NoError(t, nt.hub.Shutdown(context.Background()))
	r := nt.check()
	t.Logf("seed %d, history %t: %d connections, %d changes in %s: delivered %.4f %% of %d (%d lost, %d duplicated, %d out of order, %d wrong offsets), "+
		"%d faults %s, %d recovered, not recovered %v, resyncs %v, caught up after %s",
		*seed, !config.DisableHistory, conns, published, duration, 100*float64(r.Delivered)/float64(r.Expected), r.Expected, r.Lost, r.Duplicates,
		r.OutOfOrder, r.BadOffsets, nt.totalInjected(), nt.injectedByFault(), r.Recovered, r.NotRecovered, r.Resyncs, catchUp.Round(time.Millisecond))
	assert.True(t, caughtUp || config.DisableHistory, "a client has not caught up two minutes after the last fault")
	return r
}

// connect creates clients, each behind its own proxy.
func (nt *networkTest) connect(t *testing.T, conns int, target string, loadSnapshots bool) {
	for range conns {
		proxy, err := NewProxy(target)
		require.NoError(t, err)
		c := &Client{
			URL: "ws://" + proxy.Addr() + "/", PingAfter: time.Second, MaxBackoff: 2 * time.Second,
			Timeout: time.Duration(3+nt.random.IntN(4)) * time.Second,
		}
		for _, g := range nt.random.Perm(networkGroups)[:groupsPerClient] {
			c.Groups = append(c.Groups, nt.groups[g])
		}
		if loadSnapshots {
			c.Load = nt.load
		}
		nt.proxies, nt.clients = append(nt.proxies, proxy), append(nt.clients, c)
	}
}

func (nt *networkTest) load(_ context.Context, group string) ([]int64, error) {
	return upTo(nt.published(group)), nil
}

// published returns the number of changes published to a group.
func (nt *networkTest) published(group string) int64 {
	return nt.counters[slices.Index(nt.groups, group)].Load()
}

// publish publishes changes while the proxies inject faults, and returns after the last
// fault has ended.
func (nt *networkTest) publish(duration time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), duration)
	defer cancel()
	var injectors sync.WaitGroup
	for i, proxy := range nt.proxies {
		random := rand.New(rand.NewPCG(*seed, uint64(i)+2))
		injectors.Go(func() { nt.injectFaults(ctx, proxy, random) })
	}
	start := time.Now()
	for done := 0; ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
		for due := int(time.Since(start).Seconds() * float64(*networkRate)); done < due; {
			done += nt.publishBatch()
		}
	}
	injectors.Wait()
}

// publishBatch publishes one change, or sometimes up to five, and returns their number.
func (nt *networkTest) publishBatch() int {
	n := 1
	if nt.random.IntN(10) == 0 {
		n = 1 + nt.random.IntN(5)
	}
	changes := make([]rohrpost.Change, n)
	for i := range changes {
		g := nt.random.IntN(networkGroups)
		changes[i] = rohrpost.Change{
			Group: nt.groups[g], Type: rohrpost.Update, Object: map[string]any{"n": nt.counters[g].Add(1), "title": "a new title"},
		}
	}
	if err := nt.hub.Publish(context.Background(), changes...); err != nil {
		panic(err)
	}
	return n
}

// injectFaults injects a fault every 2 to 10 seconds, for 0.1 to 5 seconds.
func (nt *networkTest) injectFaults(ctx context.Context, proxy *Proxy, random *rand.Rand) {
	defer proxy.Clear(false)
	wait := func(from, to time.Duration) bool {
		select {
		case <-time.After(from + time.Duration(random.Int64N(int64(to-from)))):
			return true
		case <-ctx.Done():
			return false
		}
	}
	for first := time.Duration(1); ; first = 2 * time.Second {
		if !wait(first, 10*time.Second) {
			return
		}
		fault := 1 + Fault(random.IntN(int(faultCount)-1))
		proxy.Inject(fault, []int{1, 7, 64}[random.IntN(3)])
		nt.injected[fault].Add(1)
		running := wait(100*time.Millisecond, 5*time.Second)
		proxy.Clear(random.IntN(2) == 0)
		if !running {
			return
		}
	}
}

// waitUntilCaughtUp waits until all clients have the latest change of their groups, for
// at most two minutes. Without a history it waits only for the changes in transit.
func (nt *networkTest) waitUntilCaughtUp(history bool) bool {
	deadline := time.Now().Add(2 * time.Minute)
	if !history {
		deadline = time.Now().Add(5 * time.Second)
	}
	for ; time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if nt.caughtUp() {
			return true
		}
	}
	return false
}

func (nt *networkTest) caughtUp() bool {
	for _, c := range nt.clients {
		for _, group := range c.Groups {
			if c.Last(group) < nt.published(group) {
				return false
			}
		}
	}
	return true
}

func (nt *networkTest) check() Result {
	var all Result
	for i, c := range nt.clients {
		for _, group := range c.Groups {
			all.Add(Check(fmt.Sprintf("client %d, %s", i, group), upTo(nt.published(group)), c.Events(group)))
		}
	}
	return all
}

func (nt *networkTest) totalInjected() (n int64) {
	for i := range nt.injected {
		n += nt.injected[i].Load()
	}
	return n
}

func (nt *networkTest) injectedByFault() string {
	var parts []string
	for f := None + 1; f < faultCount; f++ {
		parts = append(parts, fmt.Sprint(f, " ", nt.injected[f].Load()))
	}
	return "(" + strings.Join(parts, ", ") + ")"
}
