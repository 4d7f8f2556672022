package fanout

import (
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/rohrpost/rohrpost/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestAwaitDrain waits for a backlog without polling: a synctest bubble with a timer
// would move the clock.
func TestAwaitDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newTestEngine(t, 1)
		near, far := net.Pipe()
		var m Member
		e.Init(&m, near, nil, fakeOwner{})
		frame := wire.TextFrame(make([]byte, 1000))
		for range 3 {
			assert.NoError(t, m.Push(frame))
		}
		drained := make(chan struct{})
		go func() {
			m.writer.awaitDrain(context.Background(), 1000)
			close(drained)
		}()
		synctest.Wait()
		assert.Greater(t, m.Waiting(), 1000)
		select {
		case <-drained:
			assert.Fail(t, "nothing has been read")
		default:
		}
		buffer := make([]byte, len(frame)*3)
		for n := 0; n < len(buffer); {
			read, err := far.Read(buffer)
			assert.NoError(t, err)
			n += read
		}
		<-drained
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		assert.NoError(t, m.Push(frame))
		m.writer.awaitDrain(ctx, 0) // returns with its context
		m.Abort()
		m.Close()
		assert.NoError(t, far.Close())
	})
}

// A broadcast may come after the close frame, before the member has left its groups.
func TestNothingFollowsTheCloseFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		var m Member
		newTestEngine(t, 1).Init(&m, near, nil, fakeOwner{})
		first, closing, last := wire.TextFrame([]byte("first")), wire.CloseFrame(1000, ""), wire.TextFrame([]byte("last"))
		m.writer.write(&outgoing{frames: []wire.Frame{first}, labels: []*label{nil}, joined: first})
		synctest.Wait() // the rest is the backlog
		m.writer.write(&outgoing{frames: []wire.Frame{closing}, labels: []*label{nil}, joined: closing, close: true})
		m.writer.write(&outgoing{frames: []wire.Frame{last}, labels: []*label{nil}, joined: last})
		received := make([]byte, 100)
		n, err := far.Read(received)
		assert.NoError(t, err)
		more, err := far.Read(received[n:])
		assert.NoError(t, err)
		assert.Equal(t, append(first, closing...), wire.Frame(received[:n+more]))
		synctest.Wait()
		select {
		case <-m.Flushed():
		default:
			assert.Fail(t, "the close frame has been written")
		}
		m.Close()
	})
}

// TestOnePongWaits pings a hub without reading: only the latest ping is answered, after what
// the socket has begun to take, and nothing else waits. RFC 6455, section 5.5.3.
func TestOnePongWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newTestEngine(t, 1)
		near, far := net.Pipe()
		var m Member
		e.Init(&m, near, nil, fakeOwner{})
		message := wire.TextFrame([]byte("message"))
		read := func(want ...wire.Frame) {
			t.Helper()
			for _, f := range want {
				got := make([]byte, len(f))
				_, err := io.ReadFull(far, got)
				assert.NoError(t, err)
				assert.Equal(t, f, wire.Frame(got))
			}
		}
		m.Pong("alone")
		read(wire.PongFrame("alone"))

		assert.NoError(t, m.Push(message))
		synctest.Wait() // it is being written
		assert.NoError(t, m.Push(message))
		assert.NoError(t, m.Push(message))
		assert.NoError(t, e.Wait(t.Context()))
		before := m.Waiting()
		for i := range 10_000 {
			m.Pong(fmt.Sprint(i))
		}
		assert.NoError(t, e.Wait(t.Context()))
		assert.Equal(t, before, m.Waiting())
		assert.Len(t, m.writer.backlog.chunks, 3, "one is being written")
		read(message, message, wire.PongFrame("9999"), message)

		synctest.Wait()
		w := m.worker
		w.setState(running)
		m.Pong("while the worker is busy")
		m.Pong("again")
		assert.Len(t, w.pending, 1)
		w.setState(idle)
		w.wake()
		read(wire.PongFrame("again"))
		m.Pong("the last")
		m.End(wire.CloseGoingAway, "", false)
		m.Pong("after the end")
		rest := make(chan []byte)
		go func() {
			all, _ := io.ReadAll(far)
			rest <- all
		}()
		<-m.Flushed()
		m.Abort()
		assert.NotContains(t, string(<-rest), "after the end")
		m.Close()
		assert.NoError(t, far.Close())
	})
}

// A pong that does not fit into a segment begins the next one.
func TestPongBehindAFullSegment(t *testing.T) {
	e := newTestEngine(t, 1)
	var m Member
	var taken wire.Frame
	e.Init(&m, &hookedConn{hook: func(p []byte) { taken = append(taken, p...) }}, nil, fakeOwner{})
	large := wire.TextFrame(make([]byte, segment))
	require.NoError(t, m.Queue(large))
	m.Pong("hello")
	require.NoError(t, e.Wait(t.Context()))
	assert.Equal(t, append(large, wire.PongFrame("hello")...), taken)
	m.Abort()
	m.Close()
}

// Four clients ping without end and never read. Each holds what its send queue may.
func TestPingsHoldNoMemory(t *testing.T) {
	const pings = 400_000
	e := newTestEngine(t, 2)
	before := liveHeap()
	var all [4]Member
	for i := range all {
		m := &all[i]
		e.Init(m, &waitingConn{}, nil, fakeOwner{})
		message := wire.TextFrame(make([]byte, 1000))
		for range 900 { // nearly full
			assert.NoError(t, m.Push(message))
		}
		for range pings {
			m.Pong("")
		}
	}
	assert.NoError(t, e.Wait(t.Context()))
	assert.Less(t, liveHeap(), before+4*(1200<<10))
	for i := range all {
		assert.False(t, all[i].Ended())
		all[i].Abort()
		all[i].Close()
	}
}

// liveHeap returns the bytes that are in use after a garbage collection.
func liveHeap() uint64 {
	runtime.GC()
	runtime.GC() // empties pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestSendQueueCountsOverhead sends frames of a byte, which take far more memory.
func TestSendQueueCountsOverhead(t *testing.T) {
	const limit = 1 << 20
	e := newTestEngine(t, 1)
	var m Member
	e.Init(&m, &waitingConn{}, nil, fakeOwner{})
	count := 0
	for m.Push(wire.TextFrame([]byte("x"))) == nil {
		count++
		assert.NoError(t, e.Wait(t.Context()))
	}
	assert.InDelta(t, limit/(overhead+3), count, 8)
	m.Abort()
	m.Close()

	var whole Member
	e.Init(&whole, &waitingConn{}, nil, fakeOwner{})
	assert.NoError(t, whole.Push(make(wire.Frame, limit)), "one message may fill the send queue")
	whole.Abort()
	whole.Close()
}

func (w *worker) setState(s workerState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state = s
}
