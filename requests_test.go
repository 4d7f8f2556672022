package rohrpost

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rohrpost/rohrpost/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// together writes messages at once: they are read at once, and handled together.
func together(t *testing.T, ws interface{ Write([]byte) (int, error) }, messages ...string) {
	t.Helper()
	var frames []byte
	for _, m := range messages {
		require.Less(t, len(m), 126)
		frames = append(frames, wire.TextFrame(nil)[0], 0x80|byte(len(m)), 0, 0, 0, 0) // masked with zeros
		frames = append(frames, m...)
	}
	_, err := ws.Write(frames)
	require.NoError(t, err)
}

func TestRepliesLeaveTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := quiet(Config{})
		ws := pipe(t, hub)
		together(t, ws.NetConn(), slices.Repeat([]string{`{"id":1,"type":"ping"}`}, 9)...) // what the reader holds
		buffer := make([]byte, 1000)
		n, err := ws.NetConn().Read(buffer) // what is written at once
		require.NoError(t, err)
		assert.Equal(t, 9, strings.Count(string(buffer[:n]), `{"id":1,"type":"pong"}`))
		go func() { _ = closeCode(ws) }()
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}

// What came together leaves together, but waits for no slow handler.
func TestRepliesDoNotWaitForSlowHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := quiet(Config{})
		hub.Handle("sleep", func(context.Context, *Conn, *Request) (any, error) {
			time.Sleep(10 * time.Second)
			return nil, nil
		})
		hub.Handle("later", func(context.Context, *Conn, *Request) (any, error) { return nil, Later })
		ws := pipe(t, hub)
		start := time.Now()
		var took []time.Duration
		together(t, ws.NetConn(), `{"id":1,"type":"ping"}`, `{"id":2,"type":"sleep"}`, `{"id":3,"type":"ping"}`, `{"id":4,"type":"sleep"}`)
		for i := range 4 {
			assert.Contains(t, receive(t, ws), fmt.Sprintf(`{"id":%d`, i+1))
			took = append(took, time.Since(start))
		}
		assert.Equal(t, []time.Duration{maxHold, 10 * time.Second, 10 * time.Second, 20 * time.Second}, took)

		start = time.Now()
		together(t, ws.NetConn(), `{"id":5,"type":"ping"}`, `{"id":6,"type":"later"}`, `{"id":7,"type":"nope"}`)
		assert.Contains(t, receive(t, ws), `{"id":5`)
		assert.Contains(t, receive(t, ws), `{"id":7`)
		assert.LessOrEqual(t, time.Since(start), maxHold)
		go func() { _ = closeCode(ws) }()
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}

// A connection that asks more than it is answered is read no further.
func TestInboxIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := quiet(Config{})
		begin := make(chan struct{})
		hub.Handle("wait", func(context.Context, *Conn, *Request) (any, error) { <-begin; return nil, nil })
		ws := pipe(t, hub)
		sent := 0
		go func() {
			for ; sent < 1000; sent++ {
				if ws.WriteMessage(1, []byte(`{"id":1,"type":"wait"}`)) != nil {
					return
				}
			}
		}()
		synctest.Wait()
		assert.Less(t, sent, 2*maxInbox+20) // waiting, handled, and in the buffers between
		close(begin)
		for range 1000 {
			require.Equal(t, `{"id":1,"type":"wait"}`, receive(t, ws))
		}

		b := inbox{}
		big := inbound{data: []byte(strings.Repeat("x", maxInboxBytes/2))}
		assert.Nil(t, b.put(big))
		assert.NotNil(t, b.put(big), "bytes are bounded too")
		go func() { _ = closeCode(ws) }()
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}

// TestRequestContext compares the context of a handler with context.WithTimeout.
func TestRequestContext(t *testing.T) {
	type ending func(parent context.CancelFunc, end func())
	nothing := func(context.CancelFunc, func()) {}
	for name, test := range map[string]struct {
		timeout time.Duration
		before  ending // somebody waits for it
		after   ending
	}{
		"nothing":               {time.Second, nothing, nothing},
		"no timeout":            {-1, nothing, nothing},
		"ends":                  {time.Second, nothing, func(_ context.CancelFunc, end func()) { end() }},
		"ended":                 {time.Second, func(_ context.CancelFunc, end func()) { end() }, nothing},
		"connection ends":       {time.Second, nothing, func(parent context.CancelFunc, _ func()) { parent() }},
		"connection ended":      {-1, func(parent context.CancelFunc, _ func()) { parent() }, nothing},
		"times out":             {time.Second, nothing, func(context.CancelFunc, func()) { time.Sleep(time.Second) }},
		"timed out":             {time.Second, func(context.CancelFunc, func()) { time.Sleep(time.Second) }, nothing},
		"times out, then ends":  {time.Second, func(context.CancelFunc, func()) { time.Sleep(2 * time.Second) }, func(_ context.CancelFunc, end func()) { end() }},
		"ends, then times out":  {time.Second, func(_ context.CancelFunc, end func()) { end() }, func(context.CancelFunc, func()) { time.Sleep(2 * time.Second) }},
		"both, nobody has seen": {time.Second, func(parent context.CancelFunc, end func()) { end(); parent() }, nothing},
	} {
		for i := range 4 {
			looks, limited := i%2 == 1, i/2 == 1
			t.Run(fmt.Sprint(name, ", looks=", looks, ", limited=", limited), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					parent, cancel := context.WithCancel(context.Background())
					defer cancel()
					if limited {
						parent, cancel = context.WithTimeout(parent, 500*time.Millisecond)
						defer cancel()
					}
					ours := newRequestContext(parent, test.timeout)
					theirs, end := context.WithCancel(parent)
					if test.timeout >= 0 {
						theirs, end = context.WithTimeout(parent, test.timeout)
					}
					endBoth := func() { ours.end(); end() }
					defer endBoth()
					equal := func() {
						synctest.Wait()
						assert.Equal(t, theirs.Err(), ours.Err())
						assert.Equal(t, context.Cause(theirs), context.Cause(ours))
						assert.Equal(t, isClosed(theirs.Done()), isClosed(ours.Done()))
						a, aok := theirs.Deadline()
						b, bok := ours.Deadline()
						assert.Equal(t, aok, bok)
						assert.True(t, a.Equal(b))
					}
					if looks {
						equal()
					}
					test.before(cancel, endBoth)
					if looks {
						equal()
					}
					derived, stop := context.WithCancel(ours)
					defer stop()
					test.after(cancel, endBoth)
					equal()
					assert.Equal(t, theirs.Err(), derived.Err())
				})
			})
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// The last frame counts, or one that came a 64th of DeadAfter before it.
func TestDeadAfterIsExactToA64th(t *testing.T) {
	for _, last := range []time.Duration{0, 500 * time.Millisecond, time.Second, 30*time.Second + time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			hub := quiet(Config{PingInterval: -1})
			ws := pipe(t, hub)
			time.Sleep(last)
			send(t, ws, `{"id":1,"type":"ping"}`)
			start := time.Now()
			_ = closeCode(ws)
			assert.LessOrEqual(t, time.Since(start), time.Minute)
			assert.Greater(t, time.Since(start), time.Minute-time.Minute/64)
			require.NoError(t, hub.Shutdown(context.Background()))
		})
	}
}
