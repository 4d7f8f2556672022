package fanout

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// hookedConn calls a function with each write.
type hookedConn struct {
	waitingConn
	hook func(p []byte)
}

func (c *hookedConn) TryWrite(p []byte) (int, error) {
	c.hook(p)
	return len(p), nil
}

// members adds members to a group that call hook with each write.
func members(t *testing.T, e *Engine, group string, count int, hook func(p []byte)) {
	t.Helper()
	for range count {
		var m Member
		e.Init(&m, &hookedConn{hook: hook}, nil, fakeOwner{})
		require.NoError(t, m.Join(group))
		t.Cleanup(func() { m.Abort(); m.Close() })
	}
	require.NoError(t, e.Wait(t.Context()))
}

func messageTo(group, payload string) []broker.Message {
	return []broker.Message{{Stream: group, Payload: wire.TextFrame([]byte(payload))}}
}

// allowInline lets callers run the workers, as they may after a goroutine has found one op.
func (e *Engine) allowInline() {
	for _, w := range e.workers {
		w.inline.Store(inlineRuns)
	}
}

// work is Member.Work without a member.
func (e *Engine) work() { e.runners.work(maxInline) }

// TestCallersWriteToFewMembers themselves, with no lock held, and never more than a few
// small writes.
func TestCallersWriteToFewMembers(t *testing.T) {
	for _, test := range []struct {
		members int
		payload int
		inline  bool
	}{
		{1, 100, true},
		{8, 100, true},
		{9, 100, false},
		{1, 100_000, false},
		{8, 10_000, false},
	} {
		t.Run(fmt.Sprint(test.members, " members, ", test.payload, " bytes"), func(t *testing.T) {
			e := newTestEngine(t, 1)
			goroutines := &sync.Map{}
			var written atomic.Int32
			members(t, e, "g", test.members, func([]byte) {
				if lock := &e.groups.shard("g").mu; written.Add(1) <= int32(test.members) && assert.True(t, lock.TryLock(), "a lock is held") {
					lock.Unlock()
				}
				goroutines.Store(goroutineID(), true)
			})
			e.allowInline()
			e.Deliver(messageTo("g", string(make([]byte, test.payload))))
			assert.Zero(t, written.Load(), "the caller may still hold locks")
			e.work()
			if test.inline {
				assert.EqualValues(t, test.members, written.Load(), "it has written when it returns")
			}
			require.NoError(t, e.Wait(t.Context()))
			assert.EqualValues(t, test.members, written.Load())
			_, here := goroutines.Load(goroutineID())
			assert.Equal(t, test.inline, here)
		})
	}
}

// A publisher writes to a single member itself.
func TestPublishersWriteToOneMember(t *testing.T) {
	for _, test := range []struct {
		procs, members int
		inline         bool
	}{
		{1, 1, true},
		{1, 2, false},
		{2, 1, true},
		{2, 2, false}, // one of each worker
	} {
		t.Run(fmt.Sprint(test.procs, " processors, ", test.members, " members"), func(t *testing.T) {
			e := newTestEngine(t, test.procs)
			goroutines := &sync.Map{}
			members(t, e, "g", test.members, func([]byte) { goroutines.Store(goroutineID(), true) })
			e.allowInline()
			e.Deliver(messageTo("g", "x"))
			e.Publish()
			require.NoError(t, e.Wait(t.Context()))
			_, here := goroutines.Load(goroutineID())
			assert.Equal(t, test.inline, here)
		})
	}
}

// fullConn takes nothing without waiting.
type fullConn struct{ waitingConn }

func (*fullConn) TryWrite([]byte) (int, error) { return 0, nil }

// A caller that writes itself does not wait for a client to read: many messages for it are
// left to a goroutine, which does so between two segments.
func TestCallersWaitForNoClient(t *testing.T) {
	for name, work := range map[string]func(e *Engine, m *Member){
		"a publisher": func(e *Engine, _ *Member) {
			var commit []broker.Message
			for range 100 {
				commit = append(commit, messageTo("g", string(make([]byte, 5000)))...)
			}
			e.Deliver(commit)
			e.Publish()
		},
		"who answers": func(_ *Engine, m *Member) {
			for range 64 {
				assert.NoError(t, m.Queue(wire.TextFrame(make([]byte, 8000))))
			}
			m.Work()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newTestEngine(t, 1)
				e.config.MaxSendQueueBytes, e.config.MaxSendQueueAge, e.config.WriteTimeout = 1<<20, time.Minute, time.Minute
				var m Member
				e.Init(&m, &fullConn{}, nil, fakeOwner{})
				require.NoError(t, m.Join("g"))
				require.NoError(t, e.Wait(t.Context()))
				e.allowInline()
				began := time.Now()
				work(e, &m)
				assert.Zero(t, time.Since(began))
				require.NoError(t, e.Wait(t.Context()))
				assert.NotZero(t, time.Since(began), "the goroutine has waited")
				m.Abort()
				m.Close()
			})
		})
	}
}

// goroutineID tells goroutines apart.
func goroutineID() string {
	var buffer [64]byte
	return strings.Fields(string(buffer[:runtime.Stack(buffer[:], false)]))[1]
}

// A caller whose write takes long holds up no other: those leave their messages to it, and
// all keep their order.
func TestCallersDoNotWaitForEachOther(t *testing.T) {
	e := newTestEngine(t, 1)
	begun, goOn := make(chan struct{}), make(chan struct{})
	var got []string
	members(t, e, "g", 1, func(p []byte) {
		if len(got) == 0 {
			close(begun)
			<-goOn
		}
		got = append(got, string(p))
	})
	e.allowInline()
	var first sync.WaitGroup
	first.Go(func() {
		e.Deliver(messageTo("g", "0"))
		e.work()
	})
	<-begun
	for n := range 20 {
		e.Deliver(messageTo("g", fmt.Sprint(n+1)))
		e.work() // returns
	}
	close(goOn)
	first.Wait()
	require.NoError(t, e.Wait(t.Context()))
	var want string
	for n := range 21 {
		want += string(wire.TextFrame([]byte(fmt.Sprint(n))))
	}
	all := ""
	for _, p := range got {
		all += p
	}
	assert.Equal(t, want, all)
	assert.Len(t, got, 2, "what has waited leaves together")
}

// Where several messages come at a time, a goroutine writes them together.
func TestManyCallersLeaveWritingToAGoroutine(t *testing.T) {
	e := newTestEngine(t, 1)
	var written atomic.Int32
	members(t, e, "g", 1, func([]byte) { written.Add(1) })
	w := e.workers[0]
	for range 2 {
		e.Deliver(messageTo("g", "together"))
	}
	w.inline.Store(0)
	e.work()
	require.NoError(t, e.Wait(t.Context()))
	assert.EqualValues(t, 1, written.Load())
	assert.Zero(t, w.inline.Load(), "it has found two")

	e.Deliver(messageTo("g", "alone"))
	e.work()
	require.NoError(t, e.Wait(t.Context()))
	assert.EqualValues(t, inlineRuns, w.inline.Load(), "it has found one")
	for range inlineRuns {
		e.Deliver(messageTo("g", "alone"))
		e.work()
	}
	require.NoError(t, e.Wait(t.Context()))
	assert.Zero(t, w.inline.Load(), "then a goroutine looks again")
}

// TestRunners counts the goroutines that run workers: one processor is left to others, unless
// much is to be written.
func TestRunners(t *testing.T) {
	for _, test := range []struct {
		procs, members int
		crowded        bool
		want           int
	}{
		{1, 100, false, 1},
		{2, 100, false, 1},
		{4, 100, false, 3},
		{2, someToWrite + 2, false, 2},
		{2, someToWrite + 2, true, 1},
		{4, someToWrite + 4, true, 3},
		{4, muchToWrite + 4, true, 4},
		{2, muchToWrite + 2, true, 2},
		{1, muchToWrite + 1, true, 1},
	} {
		t.Run(fmt.Sprint(test.procs, " processors, ", test.members, " members, crowded: ", test.crowded), func(t *testing.T) {
			e := newTestEngine(t, test.procs)
			var running, written atomic.Int32
			var all sync.WaitGroup
			all.Add(test.want)
			first := &sync.Map{}
			members(t, e, "g", test.members, func([]byte) {
				if written.Add(1) > int32(test.members) {
					return // the close frames
				}
				if _, known := first.LoadOrStore(goroutineID(), true); known {
					return
				}
				running.Add(1)
				all.Done()
				all.Wait() // until all that may are here
			})
			for _, w := range e.workers { // which have let members join
				if w.crowded.Store(0); test.crowded {
					w.crowded.Store(1)
				}
			}
			e.Deliver(messageTo("g", "x"))
			e.Start()
			require.NoError(t, e.Wait(t.Context()))
			assert.EqualValues(t, test.want, running.Load())
			assert.EqualValues(t, test.members, written.Load())
			e.Close()
		})
	}
}

// Messages come one at a time when many rounds have found one, and none has come meanwhile.
func TestWorkersNoteCrowds(t *testing.T) {
	e := newTestEngine(t, 1)
	w := e.workers[0]
	meanwhile := func() {}
	members(t, e, "g", 1, func([]byte) { meanwhile() })
	round := func(messages int) int32 {
		for range messages {
			e.Deliver(messageTo("g", "x"))
		}
		e.Start()
		require.NoError(t, e.Wait(t.Context()))
		return w.crowded.Load()
	}
	require.EqualValues(t, crowdedRounds, round(2))
	for left := int32(crowdedRounds); left > 0; left-- {
		require.Equal(t, left-1, round(1))
	}
	assert.Zero(t, round(1))
	meanwhile = func() {
		meanwhile = func() {}
		e.Deliver(messageTo("g", "meanwhile"))
	}
	assert.EqualValues(t, crowdedRounds-1, round(1), "the second round has found one")
}

// A worker that becomes ready while another one is busy is run beside it.
func TestWorkersRunBesideABusyOne(t *testing.T) {
	e := newTestEngine(t, 4)
	busy, release := make(chan bool), make(chan bool)
	var beside atomic.Int32
	members(t, e, "busy", 1, func(p []byte) {
		if strings.Contains(string(p), "long") {
			busy <- true
			<-release
		}
	})
	members(t, e, "others", 1, func(p []byte) {
		if strings.Contains(string(p), "short") {
			beside.Add(1)
		}
	})
	e.Deliver(messageTo("busy", "long"))
	e.Start()
	<-busy
	e.Deliver(messageTo("others", "short"))
	e.Start()
	assert.Eventually(t, func() bool { return beside.Load() == 1 }, 5*time.Second, time.Millisecond)
	close(release)
	require.NoError(t, e.Wait(t.Context()))
}
