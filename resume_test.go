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

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/brokertest"
	"github.com/rohrpost/rohrpost/internal/history"
	"github.com/rohrpost/rohrpost/internal/shards"
	"github.com/rohrpost/rohrpost/internal/upstream"
	"github.com/rohrpost/rohrpost/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	resumes     = flag.Int("resumes", 200, "random schedules of resuming to run")
	resumesSeed = flag.Uint64("resumes-seed", 1, "seed of the first of them")
)

// TestResume plays random schedules to the hub, with its own history or with a broker
// that loses, repeats and reorders messages, and loses and ends histories, and whose
// offsets may skip. The clients
// publish, connect, disconnect and resume, also while the hub reads a snapshot or a
// history. Each client must get every message once and in order, or a resync. In the end
// all clients have all objects.
func TestResume(t *testing.T) {
	var next atomic.Uint64
	for range runtime.GOMAXPROCS(0) {
		t.Run("seeds", func(t *testing.T) {
			t.Parallel()
			for seed := next.Add(1); seed <= uint64(*resumes) && !t.Failed(); seed = next.Add(1) {
				playResume(t, *resumesSeed-1+seed)
			}
		})
	}
}

// playResume plays one schedule, and fails if the schedule is stuck.
func playResume(t *testing.T, seed uint64) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runResume(t, seed)
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		assert.Fail(t, "the schedule is stuck")
	}
	if t.Failed() {
		t.Log("seed", seed)
	}
}

// resumeRun is one schedule.
type resumeRun struct {
	t       *testing.T
	random  *rand.Rand
	hub     *Hub
	broker  *unreliable // nil: the hub has its own history
	memory  func() *testStore
	seen    seen // the histories as the hub sees them
	clients []*client
	truth   map[string]map[int]bool
	number  int
	depth   int
}

// seen is a history.Store or a broker.
type seen interface {
	History(stream string, after uint64, limit int) broker.History
	Positions(streams []string) []broker.Position
}

type seenBroker struct{ broker broker.Broker }

func (s seenBroker) History(stream string, after uint64, limit int) broker.History {
	h, _ := s.broker.Read(context.Background(), stream, after, limit)
	return h
}

func (s seenBroker) Positions(streams []string) []broker.Position {
	positions, _ := s.broker.Positions(context.Background(), streams)
	return positions
}

// inRequest marks the context of a request, during which other steps may happen.
type inRequest struct{}

var resumeGroups = []string{"g-0", "g-1", "g-2"}

func runResume(t *testing.T, seed uint64) {
	r := &resumeRun{t: t, random: rand.New(rand.NewPCG(seed, 1)), truth: map[string]map[int]bool{}}
	r.open()
	for range 1 + r.random.IntN(3) {
		c := &client{t: t, name: len(r.clients), views: map[string]*view{}, whole: r.whole}
		c.connect(r.hub)
		r.clients = append(r.clients, c)
	}
	for range 10 + r.random.IntN(40) {
		r.step()
		r.settle()
	}
	r.finish()
	for _, c := range r.clients {
		c.disconnect()
	}
	require.NoError(t, r.hub.Shutdown(context.Background()))
	if r.broker != nil {
		r.broker.memory.Close()
	}
}

func (r *resumeRun) open() {
	limits := HistoryLimits{MaxMessages: 1 + r.random.IntN(12), MaxUnused: shards.Count * r.random.IntN(2), MaxAge: -1}
	if r.random.IntN(3) == 0 {
		store := newStore(history.Config{Limits: history.Limits(limits), Frame: frameOf})
		r.hub = quietOn(Config{}, func(h *Hub, to upstream.Receiver) upstream.Upstream {
			return between{upstream.NewLocal(store.Store, to), r.interleave}
		})
		r.memory = func() *testStore { return store }
		r.seen = store.Store
	} else {
		r.broker = newUnreliable(limits)
		var b broker.Broker = r.broker
		if r.random.IntN(2) == 0 {
			b = brokertest.Skipping(b)
		}
		r.seen = seenBroker{b}
		r.hub = quietOn(Config{Broker: b}, func(h *Hub, to upstream.Receiver) upstream.Upstream {
			return between{h.newUpstream(to), r.interleave}
		})
		r.memory = func() *testStore { return r.broker.memory }
		r.hub.upstream.Follow("start", func(Position) bool { return true }, func() bool { return false })
		<-r.broker.listened
	}
	for _, g := range resumeGroups {
		r.truth[g] = map[int]bool{}
	}
	r.hub.SnapshotFor("{group}", func(ctx context.Context, _ *Conn, c SnapshotRequest) (any, error) {
		r.interleave(ctx)
		snapshot := slices.Sorted(maps.Keys(r.truth[c.Group]))
		r.interleave(ctx)
		return append([]int{}, snapshot...), nil
	})
}

// interleave plays other steps in the middle of a request.
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
	c := r.clients[r.random.IntN(len(r.clients))]
	group := resumeGroups[r.random.IntN(len(resumeGroups))]
	switch roll := r.random.IntN(100); {
	case roll < 35:
		r.publish(1)
	case roll < 42:
		r.publish(2 + r.random.IntN(3))
	case roll < 65:
		if r.broker != nil {
			r.broker.next(r.random)
		}
	case roll < 82:
		if c.asked == "" {
			c.subscribe(group, r.random.IntN(2) == 0)
		}
	case roll < 90:
		if c.asked == "" {
			r.reconnect(c)
		}
	case roll < 93:
		if c.asked == "" && c.views[group] != nil {
			c.conn.Leave(group)
			r.settle() // messages sent before still come
			delete(c.views, group)
		}
	case roll < 95:
		if r.broker != nil && r.depth == 0 {
			r.broker.restart()
		}
	case roll < 97:
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
	require.NoError(r.t, r.hub.upstream.Flush(context.Background()))
}

// reconnect ends a connection and opens another one.
func (r *resumeRun) reconnect(c *client) {
	r.settle()
	c.disconnect()
	c.connect(r.hub)
	for _, v := range c.views {
		v.due = 0
	}
	for _, group := range slices.Sorted(maps.Keys(c.views)) {
		if c.asked == "" && r.random.IntN(4) > 0 {
			c.subscribe(group, r.random.IntN(2) == 0)
			r.settle()
		}
	}
}

// whole reports whether the broker has all messages after a position.
func (r *resumeRun) whole(group string, since Position) bool {
	h := r.seen.History(group, since.Offset, math.MaxInt)
	at := since.Offset
	for _, m := range h.Messages {
		if m.Prev > at {
			return false
		}
		at = m.Offset
	}
	return h.Position.Epoch == since.Epoch && at == h.Position.Offset
}

// checkPositions compares the positions of the groups with those of the broker.
func (r *resumeRun) checkPositions() {
	for group, was := range r.hub.engine.Positions() {
		at := r.seen.Positions([]string{group})[0]
		r.hub.engine.Compare(group, was, at)
	}
}

// settle waits until the hub is idle, and lets the clients read.
func (r *resumeRun) settle() {
	r.flush()
	for !r.hub.engine.Settled() {
		runtime.Gosched()
	}
	idle(r.hub)
	for _, c := range r.clients {
		c.receive()
	}
}

// finish lets the broker find lost messages, and the clients load their snapshots.
func (r *resumeRun) finish() {
	r.depth = 2 // from now on interleave does nothing
	for r.broker != nil && r.broker.left() > 0 && r.random.IntN(20) > 0 {
		r.broker.next(r.random)
	}
	for range 2 { // after a resync the clients subscribe again
		if r.broker != nil {
			r.checkPositions()
		}
		r.settle()
		for _, c := range r.clients {
			for _, group := range slices.Sorted(maps.Keys(c.views)) {
				c.subscribe(group, true)
				r.settle()
			}
		}
	}
	for _, c := range r.clients {
		for group, v := range c.views {
			require.False(r.t, v.stale)
			c.check(group, r.truth[group], r.seen.History(group, v.at.Offset, math.MaxInt))
		}
		require.LessOrEqual(r.t, len(c.views), len(c.conn.Groups()), fmt.Sprint("client ", c.name))
	}
}

func frameOf(_ string, payload []byte, offset uint64) []byte {
	return wire.ChangeFrame(payload, offset-1, offset)
}
