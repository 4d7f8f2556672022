package rohrpost

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const loadG = `{"id":1,"type":"subscribe","data":{"group":"g","snapshot":true}}`

// calm is a configuration for tests whose clients do not read all the time.
func calm(config Config) Config {
	config.PingInterval = -1
	config.Limits.IdleTimeout, config.Limits.WriteTimeout, config.Limits.MaxSendQueueAge = -1, -1, -1
	return config
}

// slowSnapshot lets the group have a shared snapshot that takes 10 seconds and is the
// number of the call.
func slowSnapshot(hub *Hub) *atomic.Int32 {
	var calls atomic.Int32
	hub.Snapshot("g", func(ctx context.Context, _ SnapshotRequest) (any, error) {
		n := calls.Add(1)
		time.Sleep(10 * time.Second)
		return n, ctx.Err()
	})
	return &calls
}

func TestSnapshotIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := quiet(calm(Config{}))
		calls := slowSnapshot(hub)
		first, second := pipe(t, hub), pipe(t, hub)
		start := time.Now()
		send(t, first, loadG)
		synctest.Wait()
		require.NoError(t, hub.Publish(t.Context(), change(1)))
		time.Sleep(5 * time.Second)
		send(t, second, loadG)
		synctest.Wait()
		require.NoError(t, hub.Publish(t.Context(), change(2)))
		for _, ws := range []*websocket.Conn{first, second} {
			require.NoError(t, compareFrame(`{"id":1,"type":"subscribe","data":{"group":"g","epoch":"{{epoch}}","offset":0,"snapshot":1}}`, receive(t, ws)),
				"the position from before the call")
			assert.Contains(t, receive(t, ws), changed(1, 1))
			assert.Contains(t, receive(t, ws), changed(2, 2))
		}
		assert.Equal(t, 10*time.Second, time.Since(start))
		assert.EqualValues(t, 1, calls.Load())
		require.NoError(t, errors.Join(first.Close(), second.Close()))
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}

// A client that could not get what came after the position takes part in the next call,
// together with all others that wait.
func TestSharingNeedsTheHistory(t *testing.T) {
	for name, config := range map[string]Config{
		"no history":    {DisableHistory: true},
		"short history": {History: HistoryLimits{MaxMessages: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hub := quiet(calm(config))
				calls := slowSnapshot(hub)
				first, others := pipe(t, hub), []*websocket.Conn{pipe(t, hub), pipe(t, hub), pipe(t, hub)}
				start := time.Now()
				send(t, first, loadG)
				synctest.Wait()
				for n := range 3 {
					require.NoError(t, hub.Publish(t.Context(), change(n)))
				}
				for _, ws := range others {
					send(t, ws, loadG)
				}
				assert.Contains(t, receive(t, first), `"snapshot":1}}`)
				for range 3 {
					assert.Contains(t, receive(t, first), `"type":"create"`)
				}
				synctest.Wait()
				require.NoError(t, hub.Publish(t.Context(), change(7)))
				for _, ws := range others {
					assert.Contains(t, receive(t, ws), `"snapshot":2}}`)
					assert.Contains(t, receive(t, ws), `"object":7`)
				}
				assert.Equal(t, 20*time.Second, time.Since(start))
				assert.EqualValues(t, 2, calls.Load())
				require.NoError(t, first.Close())
				for _, ws := range others {
					require.NoError(t, ws.Close())
				}
				require.NoError(t, hub.Shutdown(context.Background()))
			})
		})
	}
}

func TestContextOfASharedSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := quiet(calm(Config{Limits: Limits{RequestTimeout: time.Minute}}))
		ends := make(chan error, 1)
		hub.Snapshot("g", func(ctx context.Context, r SnapshotRequest) (any, error) {
			assert.Nil(t, RequestFromContext(ctx), "it serves several requests")
			assert.Equal(t, SnapshotRequest{Group: "g", Params: Params{}}, r)
			<-ctx.Done()
			ends <- ctx.Err()
			return nil, ctx.Err()
		})
		hub.SnapshotFor("one", func(ctx context.Context, _ *Conn, _ SnapshotRequest) (any, error) {
			return string(RequestFromContext(ctx).Field("auth_jwt")), nil
		})
		ended := func() bool { synctest.Wait(); return len(ends) > 0 }
		a, b := pipe(t, hub), pipe(t, hub)
		send(t, a, `{"id":1,"type":"subscribe","auth_jwt":"x","data":{"group":"one","snapshot":true}}`)
		assert.Contains(t, receive(t, a), `"snapshot":"\"x\""`)
		start := time.Now()
		send(t, a, loadG)
		send(t, b, loadG)
		synctest.Wait()
		require.NoError(t, a.Close())
		assert.False(t, ended(), "one of two connections has ended")
		require.NoError(t, b.Close())
		assert.True(t, ended(), "all have ended")
		require.ErrorIs(t, <-ends, context.Canceled)
		assert.Zero(t, time.Since(start))

		c := pipe(t, hub)
		send(t, c, loadG)
		assert.Equal(t, `{"id":1,"type":"subscribe","error":"The request timed out.","error_info":{"code":"timeout","temporary":true}}`, receive(t, c))
		require.ErrorIs(t, <-ends, context.DeadlineExceeded)
		assert.Equal(t, time.Minute, time.Since(start))
		send(t, c, loadG)
		synctest.Wait()
		go func() { _ = closeCode(c) }()
		require.NoError(t, hub.Shutdown(context.Background()))
		require.ErrorIs(t, <-ends, context.Canceled)
	})
}

// Beyond Limits.MaxSnapshots clients wait, and then learn when to ask again.
func TestSnapshotsAreBounded(t *testing.T) {
	for name, define := range map[string]func(h *Hub, pattern string, f func(ctx context.Context) (any, error)){
		"shared": func(h *Hub, pattern string, f func(ctx context.Context) (any, error)) {
			h.Snapshot(pattern, func(ctx context.Context, _ SnapshotRequest) (any, error) { return f(ctx) })
		},
		"for each": func(h *Hub, pattern string, f func(ctx context.Context) (any, error)) {
			h.SnapshotFor(pattern, func(ctx context.Context, _ *Conn, _ SnapshotRequest) (any, error) { return f(ctx) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hub, log := logged(calm(Config{Limits: Limits{MaxSnapshots: 2, RequestTimeout: 30 * time.Second}}))
				var running, most atomic.Int32
				define(hub, "g-{id}", func(context.Context) (any, error) {
					most.Store(max(most.Load(), running.Add(1)))
					defer running.Add(-1)
					time.Sleep(20 * time.Second)
					return 7, nil
				})
				ws := pipe(t, hub)
				for i := range 5 {
					send(t, ws, fmt.Sprintf(`{"id":%d,"type":"subscribe","data":{"group":"g-%d","snapshot":true}}`, i, i))
					synctest.Wait()
				}
				start := time.Now()
				var took []time.Duration
				for range 5 {
					text := receive(t, ws)
					took = append(took, time.Since(start))
					if len(took) == 3 {
						assert.Equal(t, `{"id":4,"type":"subscribe","error":"UNAVAILABLE","error_info":{"code":"unavailable","temporary":true,"retry_after":5}}`, text)
					}
				}
				assert.Equal(t, []time.Duration{20 * time.Second, 20 * time.Second, 30 * time.Second, 40 * time.Second, 40 * time.Second}, took)
				assert.EqualValues(t, 2, most.Load())
				require.Len(t, log.lines("MaxSnapshots"), 1)
				require.NoError(t, ws.Close())
				require.NoError(t, hub.Shutdown(context.Background()))
			})
		})
	}
}

func TestOnePatternHasOneSnapshot(t *testing.T) {
	hub := NewHub(Config{})
	shared := func(context.Context, SnapshotRequest) (any, error) { return nil, nil }
	forConn := func(context.Context, *Conn, SnapshotRequest) (any, error) { return nil, nil }
	hub.Snapshot("a-{id}", shared)
	assert.Panics(t, func() { hub.SnapshotFor("a-{other}", forConn) })
	assert.Panics(t, func() { hub.Snapshot("a-{other}", shared) })
	hub.SnapshotFor("b", forConn)
	assert.Panics(t, func() { hub.Snapshot("b", shared) })
	assert.Panics(t, func() { hub.Snapshot("c", nil) })
}

type nilList []int

func (nilList) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

func TestNilSliceIsAnEmptyList(t *testing.T) {
	hub := quiet(Config{})
	values := map[string]any{"ints": []int(nil), "maps": []map[string]any(nil), "nil": nil, "pointer": (*int)(nil), "bytes": []byte(nil), "itself": nilList(nil)}
	hub.Snapshot("{name}", func(_ context.Context, r SnapshotRequest) (any, error) { return values[r.Group], nil })
	ws := dial(t, serve(t, hub))
	for name, want := range map[string]string{"ints": "[]", "maps": "[]", "nil": "null", "pointer": "null", "bytes": "null", "itself": "null"} {
		send(t, ws, `{"id":1,"type":"subscribe","data":{"group":"`+name+`","snapshot":true}}`)
		assert.Contains(t, receive(t, ws), `"snapshot":`+want+`}}`, name)
	}
}

// TestHerd lets 1,000 pages load their snapshot after a resync, from a database with 5
// connections that takes 50 ms.
func TestHerd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const pages = 1000
		hub := quiet(calm(Config{}))
		var calls atomic.Int32
		database := make(chan struct{}, 5)
		hub.Snapshot("g", func(context.Context, SnapshotRequest) (any, error) {
			calls.Add(1)
			database <- struct{}{}
			defer func() { <-database }()
			time.Sleep(50 * time.Millisecond)
			return []int{1}, nil
		})
		var all []*websocket.Conn
		for range pages {
			ws := pipe(t, hub)
			join(t, ws, "g")
			all = append(all, ws)
		}
		require.NoError(t, hub.Publish(t.Context(), newResync("g", "commit")))
		start := time.Now()
		var loaded sync.WaitGroup
		for i, ws := range all {
			loaded.Go(func() {
				var resync struct {
					Data struct{ Object struct{ Spread int } }
				}
				if !assert.NoError(t, ws.ReadJSON(&resync)) {
					return
				}
				assert.Equal(t, 2000, resync.Data.Object.Spread)
				time.Sleep(time.Duration(resync.Data.Object.Spread) * time.Millisecond * time.Duration(i) / pages)
				assert.NoError(t, ws.WriteMessage(websocket.TextMessage, []byte(loadG)))
				_, text, err := ws.ReadMessage()
				assert.NoError(t, err)
				assert.Contains(t, string(text), `"snapshot":[1]`)
			})
		}
		loaded.Wait()
		assert.Less(t, time.Since(start), 5*time.Second)
		assert.LessOrEqual(t, calls.Load(), int32(45), "one call at a time, 50 ms each")
		for _, ws := range all {
			require.NoError(t, ws.Close())
		}
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}

// TestSharedSnapshotsMissNothing subscribes and publishes at random: a client that shares a call
// gets every change after the position, in order.
func TestSharedSnapshotsMissNothing(t *testing.T) {
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			hub := quiet(calm(Config{History: HistoryLimits{MaxMessages: 1 + random.IntN(20)}}))
			var newest atomic.Int32
			hub.Snapshot("g", func(context.Context, SnapshotRequest) (any, error) {
				at := newest.Load()
				time.Sleep(100 * time.Millisecond)
				return []int32{at}, nil
			})
			pages := 1 + random.IntN(8)
			var reading sync.WaitGroup
			const last = 60
			for range pages {
				ws, wait := pipe(t, hub), time.Duration(random.IntN(600))*time.Millisecond
				reading.Go(func() {
					time.Sleep(wait)
					assert.NoError(t, ws.WriteMessage(websocket.TextMessage, []byte(loadG)))
					readToTheEnd(t, ws, last)
					assert.NoError(t, ws.Close())
				})
			}
			for n := int32(1); n <= last; n++ {
				newest.Store(n) // committed
				time.Sleep(time.Duration(random.IntN(10)) * time.Millisecond)
				require.NoError(t, hub.Publish(t.Context(), change(int(n))))
				time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond)
			}
			reading.Wait()
			require.NoError(t, hub.Shutdown(context.Background()))
		})
	}
}

// readToTheEnd reads a snapshot, and changes until the last one is known.
func readToTheEnd(t *testing.T, ws *websocket.Conn, last int) {
	known, offset := -1, uint64(0)
	_ = ws.SetReadDeadline(time.Now().Add(time.Minute))
	for known < last {
		var m struct {
			Type string
			Data struct {
				Offset   uint64
				Snapshot []int
				Object   int
			}
		}
		if !assert.NoError(t, ws.ReadJSON(&m)) {
			return
		}
		if m.Type == "subscribe" {
			known, offset = m.Data.Snapshot[0], m.Data.Offset
			if !assert.GreaterOrEqual(t, uint64(known), offset, "the snapshot is older than its position") {
				return
			}
			continue
		}
		if offset++; !assert.Equal(t, offset, m.Data.Offset) {
			return
		}
		if !assert.LessOrEqual(t, m.Data.Object, known+1, "a change is missing") {
			return
		}
		known = max(known, m.Data.Object)
	}
}
