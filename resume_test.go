package rohrpost

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rohrpost/rohrpost/internal/history"
	"github.com/rohrpost/rohrpost/internal/upstream"
	"github.com/rohrpost/rohrpost/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	resumes     = flag.Int("resumes", 2000, "random schedules of resuming to run")
	resumesSeed = flag.Uint64("resumes-seed", 1, "seed of the first of them")
)

// TestResume plays random schedules to the hub, with its own broker or with one that
// loses, repeats and reorders what it delivers, forgets and ends histories: publishing,
// connecting, cutting and resuming, each also while a state or a history is being read.
// No page may miss anything, or get it twice or in another order, unless it is told to
// load the state; in the end all know what is there.
func TestResume(t *testing.T) {
	count := *resumes
	if testing.Short() {
		count = min(count, 200)
	}
	var next atomic.Uint64
	for range runtime.GOMAXPROCS(0) {
		t.Run("seeds", func(t *testing.T) {
			t.Parallel()
			for seed := next.Add(1); seed <= uint64(count) && !t.Failed(); seed = next.Add(1) {
				playResume(t, *resumesSeed-1+seed)
			}
		})
	}
}

// playResume plays one schedule, and notices when it does not come to its end.
func playResume(t *testing.T, seed uint64) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runResume(t, seed)
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		assert.Fail(t, "somebody waits for somebody who waits")
	}
	if t.Failed() {
		t.Log("seed", seed)
	}
}

// resumeRun is one schedule.
type resumeRun struct {
	t      *testing.T
	random *rand.Rand
	hub    *Hub
	broker *unreliable // nil: the hub's own
	memory func() *testStore
	pages  []*page
	truth  map[string]map[int]bool
	number int
	depth  int
}

// inRequest marks the context of a request: within it others may act.
type inRequest struct{}

var resumeGroups = []string{"g-0", "g-1", "g-2"}

func runResume(t *testing.T, seed uint64) {
	r := &resumeRun{t: t, random: rand.New(rand.NewPCG(seed, 1)), truth: map[string]map[int]bool{}}
	r.open()
	for range 1 + r.random.IntN(3) {
		p := &page{t: t, name: len(r.pages), views: map[string]*view{}, whole: r.whole}
		p.connect(r.hub)
		r.pages = append(r.pages, p)
	}
	for range 10 + r.random.IntN(40) {
		r.step()
		r.settle()
	}
	r.heal()
	for _, p := range r.pages {
		p.cut()
	}
	require.NoError(t, r.hub.Shutdown(context.Background()))
	if r.broker != nil {
		r.broker.memory.Close()
	}
}

func (r *resumeRun) open() {
	limits := HistoryLimits{MaxMessages: 1 + r.random.IntN(12), MaxUnused: 64 * r.random.IntN(2), MaxAge: -1}
	if r.random.IntN(3) == 0 {
		store := newStore(history.Config{Limits: history.Limits(limits), Frame: frameOf})
		r.hub = quietOn(Config{}, func(h *Hub) upstream.Upstream {
			return between{upstream.NewLocal(store.Store, receiver{h}), r.interleave}
		})
		r.memory = func() *testStore { return store }
	} else {
		r.broker = newUnreliable(limits)
		r.hub = quietOn(Config{Broker: r.broker}, func(h *Hub) upstream.Upstream {
			return between{h.newUpstream(), r.interleave}
		})
		r.memory = func() *testStore { return r.broker.memory }
		require.NoError(r.t, r.hub.Send("start", Message{Type: "start"}))
		<-r.broker.listened
	}
	for _, g := range resumeGroups {
		r.truth[g] = map[int]bool{}
	}
	r.hub.SnapshotFor("{group}", func(ctx context.Context, _ *Conn, p SnapshotRequest) (any, error) {
		r.interleave(ctx)
		state := slices.Sorted(maps.Keys(r.truth[p.Group]))
		r.interleave(ctx)
		return append([]int{}, state...), nil
	})
}

// interleave does something else in the middle of a request.
func (r *resumeRun) interleave(ctx context.Context) {
	if ctx.Value(inRequest{}) == nil || r.depth >= 2 {
		return
	}
	r.depth++
	for range r.random.IntN(4) {
		r.step()
	}
	r.depth--
}

func (r *resumeRun) step() {
	p := r.pages[r.random.IntN(len(r.pages))]
	group := resumeGroups[r.random.IntN(len(resumeGroups))]
	switch what := r.random.IntN(100); {
	case what < 35:
		r.publish(1)
	case what < 42:
		r.publish(2 + r.random.IntN(3))
	case what < 65:
		if r.broker != nil {
			r.broker.next(r.random)
		}
	case what < 82:
		if p.asked == "" {
			p.subscribe(group, r.random.IntN(2) == 0)
		}
	case what < 90:
		if p.asked == "" {
			r.cut(p)
		}
	case what < 93:
		if p.asked == "" && p.views[group] != nil {
			p.conn.Leave(group)
			r.settle() // what was sent before still comes
			delete(p.views, group)
		}
	case what < 95:
		if r.broker != nil && r.depth == 0 {
			r.broker.restart()
		}
	case what < 97:
		r.memory().expireUnused()
	default:
		if r.broker != nil {
			r.checkPositions()
		}
	}
}

func (r *resumeRun) publish(count int) {
	changes := make([]Change, count)
	for i := range changes {
		r.number++
		group := resumeGroups[r.random.IntN(len(resumeGroups))]
		r.truth[group][r.number] = true
		changes[i] = Change{Group: group, Type: Create, Object: map[string]int{"n": r.number}}
	}
	require.NoError(r.t, r.hub.Publish(context.Background(), changes...))
	r.flush()
}

// flush waits until everything is published.
func (r *resumeRun) flush() {
	r.hub.upstream.Flush(context.Background())
}

// cut ends a connection; the page opens another one.
func (r *resumeRun) cut(p *page) {
	r.settle()
	p.cut()
	p.connect(r.hub)
	for _, v := range p.views {
		v.due = 0
	}
	for _, group := range slices.Sorted(maps.Keys(p.views)) {
		if p.asked == "" && r.random.IntN(4) > 0 {
			p.subscribe(group, r.random.IntN(2) == 0)
			r.settle()
		}
	}
}

// whole reports whether the broker has all messages after a position.
func (r *resumeRun) whole(group string, since Position) bool {
	h := r.memory().History(group, since.Offset, math.MaxInt)
	return h.Position.Epoch == since.Epoch && since.Offset+uint64(len(h.Messages)) == h.Position.Offset
}

// checkPositions compares the positions of the groups with those of the broker.
func (r *resumeRun) checkPositions() {
	for group, was := range r.hub.engine.Positions() {
		at := r.memory().Positions([]string{group})[0]
		r.hub.engine.Compare(group, was, at)
	}
}

// settle waits until nothing moves by itself, and lets the pages read.
func (r *resumeRun) settle() {
	r.flush()
	for !r.hub.engine.Settled() {
		runtime.Gosched()
	}
	idle(r.hub)
	for _, p := range r.pages {
		p.receive()
	}
}

// heal lets the broker find what it has lost, and the pages load what they must.
func (r *resumeRun) heal() {
	r.depth = 2 // from now on nobody acts in between
	for r.broker != nil && r.broker.left() > 0 && r.random.IntN(20) > 0 {
		r.broker.next(r.random)
	}
	for range 2 { // a resync lets pages ask again
		if r.broker != nil {
			r.checkPositions()
		}
		r.settle()
		for _, p := range r.pages {
			for _, group := range slices.Sorted(maps.Keys(p.views)) {
				p.subscribe(group, true)
				r.settle()
			}
		}
	}
	for _, p := range r.pages {
		for group, v := range p.views {
			require.False(r.t, v.stale)
			p.holds(group, r.truth[group], r.memory().Positions([]string{group})[0])
		}
		require.LessOrEqual(r.t, len(p.views), len(p.conn.Groups()), fmt.Sprint("page ", p.name))
	}
}

func frameOf(_ string, payload []byte, offset uint64) []byte {
	return wire.ChangeFrame(payload, offset)
}
