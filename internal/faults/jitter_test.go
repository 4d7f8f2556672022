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
	jitterGroups     = 100
	jitterMembership = 5 // groups of each connection
)

// jitter is a hub, pages on lines that fail, and a publisher that counts.
type jitter struct {
	hub      *rohrpost.Hub
	pages    []*Page
	lines    []*Line
	names    []string
	counters []atomic.Int64 // of the changes of each group
	cuts     [faults]atomic.Int64
	random   *rand.Rand
}

// TestJitter: what is published while connections fail in every way arrives exactly
// once and in order, as long as nobody is away for longer than the history.
func TestJitter(t *testing.T) {
	v := runJitter(t, rohrpost.Config{}, *jitterDuration, *jitterConns)
	assert.False(t, v.Wrong(), "%s", strings.Join(v.Problems, "\n"))
	assert.Equal(t, v.Expected, v.Delivered, "all without loading anything")
	assert.Zero(t, v.Signals(), "resyncs %v, anew %v", v.Resyncs, v.Anew)
	assert.Positive(t, v.Recovered, "nobody was cut")
}

// TestJitterWithoutHistory calibrates the harness: where there is no history it sees
// the loss, and nothing else.
func TestJitterWithoutHistory(t *testing.T) {
	if testing.Short() {
		t.Skip("only calibrates")
	}
	v := runJitter(t, rohrpost.Config{DisableHistory: true}, min(*jitterDuration, 15*time.Second), *jitterConns)
	assert.Positive(t, v.Silent, "the harness sees no loss")
	assert.Equal(t, v.Expected, v.Delivered+v.Silent)
	assert.Zero(t, v.Duplicates+v.Misordered+v.Phantoms, "%s", strings.Join(v.Problems, "\n"))
}

func runJitter(t *testing.T, config rohrpost.Config, duration time.Duration, conns int) Verdict {
	config.Logger = slog.New(slog.DiscardHandler)
	j := &jitter{hub: rohrpost.NewHub(config), counters: make([]atomic.Int64, jitterGroups), random: rand.New(rand.NewPCG(*seed, 1))}
	j.hub.Allow("jitter-{n}", rohrpost.Anyone)
	server := httptest.NewServer(j.hub)
	defer server.Close()
	for g := range jitterGroups {
		j.names = append(j.names, fmt.Sprint("jitter-", g))
	}
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	var running sync.WaitGroup
	j.open(t, conns, server.Listener.Addr().String(), !config.DisableHistory)
	for _, p := range j.pages {
		running.Go(func() { p.Run(ctx) })
	}
	require.Eventually(t, j.allJoined, time.Minute, 20*time.Millisecond)

	j.publish(duration)
	published := j.hub.Stats().Published
	heard := time.Now()
	caughtUp := j.waitUntilCaughtUp(!config.DisableHistory)
	late := time.Since(heard)
	leave()
	running.Wait()
	for _, l := range j.lines {
		l.Close()
	}
	require.NoError(t, j.hub.Shutdown(context.Background()))
	v := j.judge()
	t.Logf("seed %d, history %t: %d connections, %d changes in %s: delivered %.4f %% of %d (%d lost, %d twice, %d out of order, %d bad offsets), "+
		"%d cuts %s, %d recovered, anew %v, resyncs %v, caught up after %s",
		*seed, !config.DisableHistory, conns, published, duration, 100*float64(v.Delivered)/float64(v.Expected), v.Expected, v.Silent, v.Duplicates,
		v.Misordered, v.BadOffsets, j.allCuts(), j.byFault(), v.Recovered, v.Anew, v.Resyncs, late.Round(time.Millisecond))
	assert.True(t, caughtUp || config.DisableHistory, "not all had all two minutes after the last fault")
	return v
}

// open makes pages, each with a line of its own.
func (j *jitter) open(t *testing.T, conns int, target string, loads bool) {
	for range conns {
		l, err := NewLine(target)
		require.NoError(t, err)
		p := &Page{
			URL: "ws://" + l.Addr() + "/", Quiet: time.Second, Backoff: 2 * time.Second,
			DeadAfter: time.Duration(3+j.random.IntN(4)) * time.Second,
		}
		for _, g := range j.random.Perm(jitterGroups)[:jitterMembership] {
			p.Groups = append(p.Groups, j.names[g])
		}
		if loads {
			p.Load = j.load
		}
		j.lines, j.pages = append(j.lines, l), append(j.pages, p)
	}
}

// allJoined reports whether all pages have a first position.
func (j *jitter) allJoined() bool {
	for _, p := range j.pages {
		for _, group := range p.Groups {
			if len(p.Records(group)) == 0 {
				return false
			}
		}
	}
	return true
}

func (j *jitter) load(_ context.Context, group string) ([]int64, error) {
	return upTo(j.published(group)), nil
}

// published returns how many changes of a group there are.
func (j *jitter) published(group string) int64 {
	return j.counters[slices.Index(j.names, group)].Load()
}

// publish publishes changes while all lines fail again and again, and returns when
// they are healed.
func (j *jitter) publish(duration time.Duration) {
	ctx, calm := context.WithTimeout(context.Background(), duration)
	defer calm()
	var weather sync.WaitGroup
	for i, l := range j.lines {
		random := rand.New(rand.NewPCG(*seed, uint64(i)+2))
		weather.Go(func() { j.storm(ctx, l, random) })
	}
	start := time.Now()
	for done := 0; ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
		for due := int(time.Since(start).Seconds() * float64(*jitterRate)); done < due; {
			done += j.commit()
		}
	}
	weather.Wait()
}

// commit publishes one change, or now and then some together.
func (j *jitter) commit() int {
	n := 1
	if j.random.IntN(10) == 0 {
		n = 1 + j.random.IntN(5)
	}
	changes := make([]rohrpost.Change, n)
	for i := range changes {
		g := j.random.IntN(jitterGroups)
		changes[i] = rohrpost.Change{
			Group: j.names[g], Type: rohrpost.Update, Object: map[string]any{"n": j.counters[g].Add(1), "title": "what has changed"},
		}
	}
	if err := j.hub.Publish(context.Background(), changes...); err != nil {
		panic(err)
	}
	return n
}

// storm lets a line fail every 2 to 10 seconds for 0.1 to 5.
func (j *jitter) storm(ctx context.Context, l *Line, random *rand.Rand) {
	defer l.Heal(false)
	between := func(from, to time.Duration) bool {
		select {
		case <-time.After(from + time.Duration(random.Int64N(int64(to-from)))):
			return true
		case <-ctx.Done():
			return false
		}
	}
	for first := time.Duration(1); ; first = 2 * time.Second {
		if !between(first, 10*time.Second) {
			return
		}
		fault := 1 + Fault(random.IntN(int(faults)-1))
		l.Fail(fault, []int{1, 7, 64}[random.IntN(3)])
		j.cuts[fault].Add(1)
		more := between(100*time.Millisecond, 5*time.Second)
		l.Heal(random.IntN(2) == 0)
		if !more {
			return
		}
	}
}

// waitUntilCaughtUp waits until all pages have the latest change of their groups, two
// minutes at most. Who cannot resume gets some seconds to read what is on the way.
func (j *jitter) waitUntilCaughtUp(resumes bool) bool {
	deadline := time.Now().Add(2 * time.Minute)
	if !resumes {
		deadline = time.Now().Add(5 * time.Second)
	}
	for ; time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if j.caughtUp() {
			return true
		}
	}
	return false
}

func (j *jitter) caughtUp() bool {
	for _, p := range j.pages {
		for _, group := range p.Groups {
			if p.Last(group) < j.published(group) {
				return false
			}
		}
	}
	return true
}

func (j *jitter) judge() Verdict {
	var all Verdict
	for i, p := range j.pages {
		for _, group := range p.Groups {
			all.Add(Judge(fmt.Sprintf("page %d, %s", i, group), upTo(j.published(group)), p.Records(group)))
		}
	}
	return all
}

func (j *jitter) allCuts() (n int64) {
	for i := range j.cuts {
		n += j.cuts[i].Load()
	}
	return n
}

func (j *jitter) byFault() string {
	var parts []string
	for f := None + 1; f < faults; f++ {
		parts = append(parts, fmt.Sprint(f, " ", j.cuts[f].Load()))
	}
	return "(" + strings.Join(parts, ", ") + ")"
}
