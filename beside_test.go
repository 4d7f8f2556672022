package rohrpost

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rohrpost/rohrpost/internal/upstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const cancelled = `"error":"The subscription was cancelled.","error_info":{"code":"cancelled","temporary":false}}`

// A slow snapshot delays neither requests nor heartbeats, and does not end the connection.
func TestSlowSnapshotDelaysNoRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := quiet(calm(Config{}))
		hub.SnapshotFor("g", func(context.Context, *Conn, SnapshotRequest) (any, error) {
			time.Sleep(12 * time.Second)
			return []int{1}, nil
		})
		ws := pipe(t, hub)
		start := time.Now()
		send(t, ws, loadG)
		send(t, ws, `{"id":2,"type":"ping"}`)
		send(t, ws, `{"id":3,"type":"subscribe","data":{"group":"other"}}`)
		send(t, ws, `{"id":4,"type":"ping"}`)
		assert.Contains(t, receive(t, ws), `{"id":2`)
		assert.Contains(t, receive(t, ws), `{"id":3`)
		assert.Contains(t, receive(t, ws), `{"id":4`)
		assert.Zero(t, time.Since(start))
		assert.Contains(t, receive(t, ws), `"snapshot":[1]`)
		assert.Equal(t, 12*time.Second, time.Since(start))
		require.NoError(t, ws.Close())
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}

// The decision about a subscription keeps the order of requests.
func TestAllowKeepsTheOrder(t *testing.T) {
	hub := quiet(Config{})
	var order []string
	hub.Allow("ordered-{id}", func(_ context.Context, _ *Conn, p Params) error {
		order = append(order, p["id"]) // without a lock: one after another
		return nil
	})
	hub.Snapshot("ordered-{id}", func(context.Context, SnapshotRequest) (any, error) { return 1, nil })
	ws := dial(t, serve(t, hub))
	for i := range 9 {
		send(t, ws, fmt.Sprintf(`{"id":%d,"type":"subscribe","data":{"group":"ordered-%d","snapshot":%v}}`, i, i, i%2 == 0))
	}
	for range 9 {
		assert.Contains(t, receive(t, ws), `"data":`)
	}
	assert.Equal(t, []string{"0", "1", "2", "3", "4", "5", "6", "7", "8"}, order)
}

func TestPendingSubscriptionsAreCancelled(t *testing.T) {
	for name, test := range map[string]struct{ request, reply string }{
		"unsubscribe":          {`{"id":2,"type":"unsubscribe","data":{"group":"g"}}`, `{"id":2,"type":"unsubscribe","data":{"group":"g"}}`},
		"another spelling":     {`{"id":2,"type":"unsubscribe","data":{"group":"\u0067"}}`, `{"id":2,"type":"unsubscribe","data":{"group":"g"}}`},
		"Leave of the program": {`{"id":2,"type":"leave","data":"g"}`, `{"id":2,"type":"leave"}`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hub := quiet(calm(Config{}))
				hub.Handle("leave", leave)
				ended := false
				hub.SnapshotFor("g", func(ctx context.Context, _ *Conn, _ SnapshotRequest) (any, error) {
					<-ctx.Done()
					ended = true
					return 1, nil
				})
				ws := pipe(t, hub)
				start := time.Now()
				send(t, ws, loadG)
				synctest.Wait()
				send(t, ws, test.request)
				replies := []string{receive(t, ws), receive(t, ws)}
				assert.ElementsMatch(t, []string{test.reply, `{"id":1,"type":"subscribe",` + cancelled}, replies)
				synctest.Wait()
				assert.True(t, ended)
				assert.Zero(t, time.Since(start))
				assert.Zero(t, hub.Stats().Memberships)
				assert.Zero(t, hub.Stats().Groups, "nothing is pending")
				join(t, ws, "g")
				assert.Equal(t, 1, hub.Stats().Memberships, "a later subscription counts")
				require.NoError(t, ws.Close())
				require.NoError(t, hub.Shutdown(context.Background()))
			})
		})
	}
}

func TestClosedConnectionsSubscribeToNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := quiet(calm(Config{}))
		hub.SnapshotFor("g", func(context.Context, *Conn, SnapshotRequest) (any, error) {
			time.Sleep(10 * time.Second) // it ignores its context
			return 1, nil
		})
		ws := pipe(t, hub)
		send(t, ws, loadG)
		synctest.Wait()
		require.NoError(t, ws.Close())
		time.Sleep(20 * time.Second)
		assert.Zero(t, hub.Stats().Memberships)
		assert.Zero(t, hub.Stats().Groups)
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}

func TestSnapshotsOfAConnectionAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := quiet(calm(Config{}))
		var running atomic.Int32
		hub.SnapshotFor("g-{id}", func(context.Context, *Conn, SnapshotRequest) (any, error) {
			running.Add(1)
			defer running.Add(-1)
			time.Sleep(20 * time.Second)
			return 1, nil
		})
		ws := pipe(t, hub)
		for i := range maxBeside + 1 {
			send(t, ws, fmt.Sprintf(`{"id":%d,"type":"subscribe","data":{"group":"g-%d","snapshot":true}}`, i, i))
		}
		send(t, ws, `{"id":99,"type":"ping"}`)
		synctest.Wait()
		assert.EqualValues(t, maxBeside, running.Load())
		pong := 0
		for i := range maxBeside + 2 {
			if receive(t, ws) == `{"id":99,"type":"pong"}` {
				pong = i
			}
		}
		assert.Positive(t, pong, "it has waited for a place")
		require.NoError(t, ws.Close())
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}

// TestNothingIsLeft subscribes, unsubscribes under other spellings, leaves and closes at
// random, also while snapshots are read and sent. In the end nothing is left of it.
func TestNothingIsLeft(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			delay := time.Duration(random.IntN(50)) * time.Millisecond
			size := random.IntN(40)
			config := calm(Config{})
			config.Limits.MaxSendQueueBytes = 4000
			hub := quiet(config)
			hub.Handle("leave", leave)
			hub.Snapshot("g-1", func(context.Context, SnapshotRequest) (any, error) {
				time.Sleep(delay)
				return rows(size), nil
			})
			hub.SnapshotFor("g-2", func(ctx context.Context, _ *Conn, _ SnapshotRequest) (any, error) {
				time.Sleep(delay)
				return 1, ctx.Err()
			})
			spell := func() string {
				name := fmt.Sprint("g-", 1+random.IntN(3))
				return []string{`{"group":"` + name + `"`, `{"type":"g","id":` + name[2:], `{"id":"` + name[2:] + `","type":"g"`}[random.IntN(3)]
			}
			ws := pipe(t, hub)
			wantParts(t, ws)
			go func() { _ = closeCode(ws) }()
			for id := range 40 {
				text := `{"id":%d,"type":"unsubscribe","data":%s}}`
				switch random.IntN(5) {
				case 0:
					text = `{"id":%d,"type":"subscribe","data":%s}}`
				case 1, 2:
					text = `{"id":%d,"type":"subscribe","data":%s,"snapshot":true}}`
				}
				if ws.WriteMessage(1, fmt.Appendf(nil, text, id, spell())) != nil {
					break
				}
				time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond)
				assert.NoError(t, hub.Publish(context.Background(), Change{Group: "g-1", Type: Create}))
			}
			if random.IntN(2) == 0 {
				for n := range 3 { // whatever was subscribed
					_ = ws.WriteMessage(1, fmt.Appendf(nil, `{"id":1,"type":"unsubscribe","data":{"group":"g-%d"}}`, n+1))
				}
				time.Sleep(time.Second)
				assert.Equal(t, 1, hub.Stats().Connections, "%v", hub.Stats().Closed)
			} else {
				_ = ws.Close()
				time.Sleep(time.Second)
			}
			assert.Zero(t, hub.Stats().Memberships, "seed %d", seed)
			assert.Zero(t, hub.Stats().Groups, "seed %d", seed)
			_ = ws.Close()
			require.NoError(t, hub.Shutdown(context.Background()))
		})
	}
}

// Leave cancels also a subscription without a snapshot.
func TestLeaveCancelsAResume(t *testing.T) {
	var hub *Hub
	hub = quietOn(Config{}, func(h *Hub, to upstream.Receiver) upstream.Upstream {
		return between{h.newUpstream(to), func(context.Context) { hub.conns.All()[0].Leave("g") }}
	})
	ws := dial(t, serve(t, hub))
	send(t, ws, `{"id":1,"type":"subscribe","data":{"group":"g","since":{"epoch":"X","offset":0}}}`)
	assert.Equal(t, `{"id":1,"type":"subscribe",`+cancelled, receive(t, ws))
	assert.Zero(t, hub.Stats().Memberships)
	assert.Zero(t, hub.Stats().Groups)
}
