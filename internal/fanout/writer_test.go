package fanout

import (
	"context"
	"net"
	"testing"
	"testing/synctest"

	"github.com/rohrpost/rohrpost/internal/wire"
	"github.com/stretchr/testify/assert"
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
		m.writer.write(&outgoing{frames: []wire.Frame{first}, joined: first})
		synctest.Wait() // the rest is the backlog
		m.writer.write(&outgoing{frames: []wire.Frame{closing}, joined: closing, close: true})
		m.writer.write(&outgoing{frames: []wire.Frame{last}, joined: last})
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
