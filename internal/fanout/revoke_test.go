package fanout

import (
	"context"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rohrpost/rohrpost/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// partial is a socket whose writes wait for a number of bytes that it takes, and then fail
// by their deadline if that is not everything.
type partial struct {
	net.Conn
	takes chan int
	taken []byte
}

func (s *partial) Write(p []byte) (int, error) {
	n := min(<-s.takes, len(p))
	s.taken = append(s.taken, p[:n]...)
	if n < len(p) {
		return n, os.ErrDeadlineExceeded
	}
	return n, nil
}

func (*partial) SetWriteDeadline(time.Time) error { return nil }
func (*partial) Close() error                     { return nil }

// What is being written when the revocation comes goes on only to the end of a frame that
// is begun, and Revoke waits for the write.
func TestRevokeWhileFramesAreWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newTestEngine(t, 1)
		socket := &partial{takes: make(chan int, 8)}
		var m Member
		e.Init(&m, socket, nil, fakeOwner{})
		require.NoError(t, m.Join("gone"))
		require.NoError(t, m.Join("kept"))
		frame := func(group, text string) wire.Frame {
			f := wire.TextFrame([]byte(text))
			e.deliverOne(post{group: group, payload: f})
			e.Start()
			return f
		}
		require.NoError(t, e.Wait(t.Context()))
		first := frame("gone", "is alone") // while it is written, the others gather
		synctest.Wait()
		begun, kept := frame("gone", "is begun"), frame("kept", "stays")
		frame("gone", "is in the same write")
		synctest.Wait()
		socket.takes <- len(first)
		synctest.Wait() // the three are being written
		frame("gone", "waits")
		last := wire.TextFrame([]byte("last"))
		wait := m.Revoke(func(group string) bool { return group == "gone" }, func(string) wire.Frame { return last })
		returned := make(chan error)
		go func() { returned <- wait(context.Background()) }()
		synctest.Wait()
		select {
		case <-returned:
			require.Fail(t, "a write is under way")
		default:
		}
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, m.Settle(cancelled), context.Canceled)
		socket.takes <- 5
		require.NoError(t, <-returned)
		after := frame("kept", "after it")
		frame("gone", "nobody is in it")
		for range 4 {
			socket.takes <- 100
		}
		synctest.Wait()
		want := append(wire.Frame{}, first...)
		for _, f := range []wire.Frame{begun, kept, last, after} {
			want = append(want, f...)
		}
		assert.Equal(t, string(want), string(socket.taken))
		assert.Equal(t, []string{"kept"}, m.Groups())
		m.Close()
	})
}
