package fanout

import (
	"fmt"
	"io"
	"math"
	"net"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/rohrpost/rohrpost/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPendingIsBounded publishes more than a worker can write: the groups get one
// resync each in place of what exceeds the bound.
func TestPendingIsBounded(t *testing.T) {
	f := make(wire.Frame, 1<<20)
	const room = maxPending / (1<<20 + overhead)
	for name, posts := range map[string]func(lists []*memberList) op{
		"messages": func(lists []*memberList) op { return op{kind: opPost, list: lists[0], frame: f} },
		"batches": func(lists []*memberList) op {
			return op{kind: opBatch, batch: &batch{ops: []op{{kind: opPost, list: lists[0], frame: f}}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newBusyWorker()
			lists := []*memberList{{group: &group{name: "a"}}, {group: &group{name: "b"}}}
			for i := range 100 {
				w.submit(posts(lists[i%2:]))
			}
			require.Equal(t, room+2, len(w.pending))
			for i, o := range w.pending[room:] {
				assert.Same(t, lists[(room+i)%2], o.list)
				assert.Contains(t, string(o.frame), `"group":"`+o.list.group.name+`","object":{"reason":"overflow","spread":0}}`)
			}
			w.submit(op{kind: opJoin, list: lists[0]})
			assert.Equal(t, opJoin, w.pending[len(w.pending)-1].kind, "no other op is dropped")

			_, _ = w.take(math.MaxInt64)
			w.submit(posts(lists))
			require.Len(t, w.pending, 1)
			assert.NotContains(t, string(w.pending[0].frame), "overflow", "what was taken counts no more")
			for range 100 {
				w.submit(posts(lists))
			}
			assert.Contains(t, string(w.pending[len(w.pending)-1].frame), "overflow", "each take may overflow once more")
		})
	}
}

// reader is the socket of a fast client: while other members are written, it reads.
type reader struct {
	waitingConn
	room     int // bytes that the socket takes
	received int
	peers    *[]*reader
}

const readerRoom = 2 * segment

func (r *reader) TryWrite(p []byte) (int, error) {
	for _, peer := range *r.peers {
		if peer != r {
			peer.room = readerRoom
		}
	}
	n := min(len(p), r.room)
	r.room -= n
	r.received += n
	return n, nil
}

// TestBurstsLeaveFastReaders lets 20 MB wait for members that read whenever others are
// written. None is ended, in whatever way the batch is mixed, except one that reads nothing.
// What the burst has needed is let go.
func TestBurstsLeaveFastReaders(t *testing.T) {
	const members, messages = 5, 400
	frame := wire.TextFrame(make([]byte, 50_000))
	for name, mix := range map[string]func(e *Engine, all []*Member, posts []op) []op{
		"one group": func(_ *Engine, _ []*Member, posts []op) []op { return posts },
		"a member that pings": func(_ *Engine, all []*Member, posts []op) []op {
			return append(posts, op{kind: opPong, member: all[0]})
		},
		"a member that leaves": func(_ *Engine, _ []*Member, posts []op) []op {
			var gone Member
			return append(posts, op{kind: opLeaveAll, member: &gone})
		},
		"two groups": func(e *Engine, _ []*Member, posts []op) []op {
			for i := range len(posts) / 2 {
				posts[2*i].list = listOf(e, "b")
			}
			return posts
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := newTestEngine(t, 1)
			peers := &[]*reader{}
			var all []*Member
			for range members + 1 {
				r := &reader{room: readerRoom, peers: peers}
				m := &Member{}
				e.Init(m, r, nil, fakeOwner{})
				require.NoError(t, m.Join("a"))
				require.NoError(t, m.Join("b"))
				all = append(all, m)
				*peers = append(*peers, r)
			}
			require.NoError(t, e.Wait(t.Context()))
			stalled := (*peers)[members]
			*peers = (*peers)[:members] // nobody makes room for it
			var posts []op
			for range messages {
				posts = append(posts, op{kind: opPost, list: listOf(e, "a"), frame: frame})
			}
			w := e.workers[0]
			w.setState(running)
			w.do(mix(e, all, posts))
			w.setState(idle)
			for i, r := range *peers {
				assert.False(t, all[i].Ended(), "member %d", i)
				assert.Equal(t, messages*len(frame), r.received, "member %d", i)
			}
			assert.True(t, all[members].Ended())
			assert.LessOrEqual(t, stalled.received, readerRoom)
			assert.LessOrEqual(t, w.kept(), uintptr(512<<10))
			for _, m := range all {
				m.Abort()
				m.Close()
			}
		})
	}
}

// TestPace writes 10 MB to a member that reads a segment every 15 ms, and to one that reads
// nothing: only for the latter the worker does not wait long.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const messages = 200
		frame := wire.TextFrame(make([]byte, 50_000))
		e := newTestEngine(t, 1)
		near, far := net.Pipe()
		var reads, stalled Member
		e.Init(&reads, near, nil, fakeOwner{})
		e.Init(&stalled, &waitingConn{}, nil, fakeOwner{})
		for _, m := range []*Member{&reads, &stalled} {
			require.NoError(t, m.Join("a"))
		}
		require.NoError(t, e.Wait(t.Context()))
		received := 0
		go func() {
			buffer := make([]byte, segment)
			for {
				n, err := io.ReadFull(far, buffer)
				if received += n; err != nil {
					return
				}
				time.Sleep(15 * time.Millisecond)
			}
		}()
		var posts []op
		for range messages {
			posts = append(posts, op{kind: opPost, list: listOf(e, "a"), frame: frame})
		}
		began := time.Now()
		e.workers[0].submit(posts...)
		require.NoError(t, e.Wait(t.Context()))
		assert.False(t, reads.Ended())
		assert.True(t, stalled.Ended())
		const segments = messages * 50_000 / segment
		assert.InDelta(t, segments*15*time.Millisecond, time.Since(began), float64(10*maxPace), "as fast as the one reads")
		reads.End(wire.CloseGoingAway, "", false)
		<-reads.Flushed()
		for _, m := range []*Member{&reads, &stalled} {
			m.Abort()
			m.Close()
		}
		synctest.Wait()
		assert.Equal(t, messages*len(frame), received-len(wire.CloseFrame(wire.CloseGoingAway, "")))
	})
}

// newBusyWorker returns one that some goroutine runs.
func newBusyWorker() *worker { return &worker{runners: &runners{procs: 1}, state: running} }

// kept returns the bytes that the worker keeps for the next time.
func (w *worker) kept() uintptr {
	return uintptr(cap(w.joined)) + uintptr(cap(w.spare)+cap(w.pending))*unsafe.Sizeof(op{}) +
		uintptr(cap(w.nodes))*unsafe.Sizeof(node{}) + uintptr(cap(w.touched)+3*cap(w.out.frames))*unsafe.Sizeof(w)
}

func listOf(e *Engine, group string) *memberList { return e.groups.shard(group).groups[group].lists[0] }

// BenchmarkOverflow publishes to 30,000 groups while a worker has as much to do as may wait.
func BenchmarkOverflow(b *testing.B) {
	lists := make([]*memberList, 30_000)
	for i := range lists {
		lists[i] = &memberList{group: &group{name: fmt.Sprint("g-", i)}}
	}
	for b.Loop() {
		w := newBusyWorker()
		w.bytes = maxPending
		for _, l := range lists {
			l.overflowed = 0
			w.submit(op{kind: opPost, list: l, frame: wire.Frame("x")})
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(lists)), "ns/group")
}
