package rohrpost

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rohrpost/rohrpost/broker"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// farHub is a hub whose broker can fail, beside another one that orders.
type farHub struct {
	near, far *Hub
	rights    *rights // at far
	broker    *faulty // of far
	ws        *websocket.Conn
}

// withFarHub runs a test in a bubble. The user ann is in group g at the far hub.
func withFarHub(t *testing.T, limits HistoryLimits, f func(t *testing.T, h *farHub)) {
	synctest.Test(t, func(t *testing.T) {
		shared := NewMemoryBroker(limits)
		h := &farHub{near: quiet(calm(Config{Broker: shared})), broker: &faulty{MemoryBroker: shared.Peer()}}
		h.far, h.rights = granting(calm(Config{Broker: h.broker}))
		h.far.config.Authenticate = func(*http.Request) (Identity, error) { return Identity{ID: "ann"}, nil }
		h.ws = pipe(t, h.far)
		join(t, h.ws, "g")
		synctest.Wait()
		f(t, h)
		require.NoError(t, h.ws.Close())
		require.NoError(t, errors.Join(h.near.Shutdown(context.Background()), h.far.Shutdown(context.Background())))
	})
}

// revoke takes a right away at the near hub, and publishes what ann must not get.
func (h *farHub) revoke(t *testing.T) {
	t.Helper()
	h.rights.deny("ann", "g")
	require.NoError(t, h.near.Revoke(t.Context(), "ann", "g"))
	require.NoError(t, h.near.Publish(t.Context(), change(1)))
	require.NoError(t, h.near.Flush(t.Context()))
}

// getsNothing expects that ann gets nothing but the answer to a ping.
func (h *farHub) getsNothing(t *testing.T) {
	t.Helper()
	send(t, h.ws, `{"id":99,"type":"ping"}`)
	assert.Equal(t, `{"id":99,"type":"pong"}`, receive(t, h.ws))
	assert.Zero(t, h.far.Stats().Memberships)
}

// A hub that was disconnected from its broker obeys what it has missed before it delivers
// again.
func TestOrdersBeforeDeliveries(t *testing.T) {
	withFarHub(t, HistoryLimits{}, func(t *testing.T, h *farHub) {
		h.broker.fail()
		synctest.Wait()
		h.revoke(t)
		time.Sleep(time.Minute)
		h.getsNothing(t)
		assert.EqualValues(t, 1, h.far.Stats().Revoked)
	})
}

// The first change after a reconnect waits for the orders, too.
func TestOrdersBeforeTheFirstChange(t *testing.T) {
	withFarHub(t, HistoryLimits{}, func(t *testing.T, h *farHub) {
		h.broker.fail()
		synctest.Wait()
		h.broker.slow.Store(true)
		h.rights.deny("ann", "g")
		require.NoError(t, h.near.Revoke(t.Context(), "ann", "g"))
		for h.broker.failing.Load() {
			time.Sleep(time.Millisecond)
		}
		for runs := h.broker.runs.Load(); h.broker.runs.Load() == runs; {
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		require.NoError(t, h.near.Publish(t.Context(), change(1)))
		time.Sleep(time.Minute)
		h.getsNothing(t)
	})
}

// A lost order is found by its position.
func TestLostOrderIsFound(t *testing.T) {
	withFarHub(t, HistoryLimits{}, func(t *testing.T, h *farHub) {
		h.broker.lossy.Store(true)
		h.rights.deny("ann", "g")
		require.NoError(t, h.near.Revoke(t.Context(), "ann", "g"))
		synctest.Wait()
		assert.Equal(t, 1, h.far.Stats().Memberships)
		time.Sleep(10 * time.Second)
		h.getsNothing(t)
	})
}

// Where the orders are gone that a hub has missed, it asks Allow about all memberships
// before it delivers again, and all groups load their snapshots.
func TestOrdersThatAreGone(t *testing.T) {
	withFarHub(t, HistoryLimits{MaxMessages: 1}, func(t *testing.T, h *farHub) {
		join(t, h.ws, "h")
		synctest.Wait()
		h.broker.fail()
		synctest.Wait()
		h.revoke(t)
		require.NoError(t, h.near.Revoke(t.Context(), "bob", "g"))
		require.NoError(t, h.near.Revoke(t.Context(), "bob", "h"))
		time.Sleep(time.Minute)
		assert.Contains(t, receive(t, h.ws), `"data":{"type":"resync","group":"h","object":{"reason":"broker","spread":0}`)
		assert.Equal(t, []string{"h"}, h.far.conns.All()[0].Groups())
	})
}

// An order of a later version could be any: the memberships are checked again.
func TestOrderOfALaterVersion(t *testing.T) {
	withFarHub(t, HistoryLimits{}, func(t *testing.T, h *farHub) {
		h.rights.deny("ann", "g")
		publishTo(t, h.broker.MemoryBroker, 1, "!orders", "\x07of a later version")
		synctest.Wait()
		require.NoError(t, h.near.Publish(t.Context(), change(1)))
		synctest.Wait()
		h.getsNothing(t)
		assert.EqualValues(t, 1, h.far.Stats().Foreign)
		publishTo(t, h.broker.MemoryBroker, 2, "!orders", "\x01"+`{"kind":"of a later version","from":"x"}`)
		synctest.Wait()
		calls := h.rights.calls.Load()
		time.Sleep(time.Minute)
		assert.Equal(t, calls, h.rights.calls.Load(), "an unknown kind is ignored")
	})
}

// sinceIn subscribes with a position, and returns the reply.
func sinceIn(t *testing.T, ws *websocket.Conn, at Position) (reply clientMessage) {
	t.Helper()
	raw, err := json.Marshal(at)
	require.NoError(t, err)
	send(t, ws, `{"id":1,"type":"subscribe","data":{"group":"g","since":`+string(raw)+`}}`)
	require.NoError(t, json.Unmarshal([]byte(receive(t, ws)), &reply))
	require.NotNil(t, reply.Data.Recovered)
	return reply
}

// A resync by pattern reaches a group whose pages are all away: a position from before it
// brings no replay, at a hub that was there and at one that comes later.
func TestResyncOfAbsentPages(t *testing.T) {
	limits := HistoryLimits{KeepUnused: 10 * time.Minute, MaxAge: 10 * time.Minute}
	withFarHub(t, limits, func(t *testing.T, h *farHub) {
		require.NoError(t, h.near.Publish(t.Context(), change(1)))
		assert.Contains(t, receive(t, h.ws), changed(1, 1))
		old := h.far.engine.Positions()["g"]
		require.NoError(t, h.ws.Close())
		time.Sleep(time.Second)
		require.Zero(t, h.far.Stats().Groups)
		require.NoError(t, h.near.Publish(t.Context(), newResync("{any}", "rows")))
		require.NoError(t, h.near.Flush(t.Context()))
		synctest.Wait()
		late := quiet(calm(Config{Broker: h.broker.MemoryBroker.Peer()}))
		for _, hub := range []*Hub{h.far, h.near, late} {
			ws := pipe(t, hub)
			reply := sinceIn(t, ws, old)
			assert.False(t, *reply.Data.Recovered)
			assert.Equal(t, "resync", reply.Data.Reason)
			assert.Equal(t, old.Epoch, reply.Data.Epoch)

			require.NoError(t, hub.Publish(t.Context(), change(2)))
			message := receive(t, ws)
			require.Contains(t, message, `"object":2`)
			now := hub.engine.Positions()["g"]
			reply = sinceIn(t, ws, now)
			assert.True(t, *reply.Data.Recovered, "a later position is good: %s", message)
			require.NoError(t, ws.Close())
			synctest.Wait()
		}
		require.NoError(t, late.Shutdown(context.Background()))
		h.ws = pipe(t, h.far)
		time.Sleep(15 * time.Minute)
		ws := pipe(t, h.far)
		assert.Equal(t, "epoch", sinceIn(t, ws, old).Data.Reason, "the group had no member for KeepUnused")
		require.NoError(t, ws.Close())
		assert.False(t, h.far.upstream.Outdated(t.Context(), "g", old, old), "it is forgotten with the messages")
	})
}

// A hub that begins later recovers positions, although the broker has put empty messages
// into the stream of orders, and keeps only the latest.
func TestMarksAreNoResyncs(t *testing.T) {
	withFarHub(t, HistoryLimits{MaxMessages: 1}, func(t *testing.T, h *farHub) {
		for n := range uint64(3) {
			mark := broker.Batch{Source: "marks", Number: n + 1, Messages: []broker.Message{{Stream: "!orders"}}}
			require.NoError(t, h.near.config.Broker.Publish(t.Context(), []broker.Batch{mark}))
		}
		synctest.Wait()
		kept, err := h.near.config.Broker.Read(t.Context(), "!orders", 0, 10)
		require.NoError(t, err)
		require.Len(t, kept.Messages, 1)
		require.NotZero(t, kept.Messages[0].Prev)
		late := quiet(calm(Config{Broker: h.broker.MemoryBroker.Peer()}))
		ws := pipe(t, late)
		assert.True(t, *sinceIn(t, ws, h.far.engine.Positions()["g"]).Data.Recovered)
		require.NoError(t, ws.Close())
		require.NoError(t, late.Shutdown(context.Background()))
	})
}

// A signed order is not obeyed without the key.
func TestBrokerKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := NewMemoryBroker(HistoryLimits{})
		signed := func(key string, b broker.Broker) *Hub {
			return quiet(calm(Config{Broker: b, BrokerKey: []byte(key)}))
		}
		one, two, stranger := signed("key", shared), signed("key", shared.Peer()), signed("other", shared.Peer())
		ws := pipe(t, two)
		join(t, ws, "g")
		synctest.Wait()
		require.NoError(t, one.Publish(t.Context(), change(1)))
		assert.Contains(t, receive(t, ws), changed(1, 1))
		require.NoError(t, stranger.Publish(t.Context(), change(2)))
		message := receive(t, ws)
		assert.Contains(t, message, `"type":"resync","group":"g","object":{"reason":"broker"`)
		assert.False(t, strings.Contains(message, `"object":2`))
		assert.EqualValues(t, 1, two.Stats().Skipped)
		require.NoError(t, ws.Close())
		require.NoError(t, errors.Join(one.Shutdown(context.Background()), two.Shutdown(context.Background()), stranger.Shutdown(context.Background())))
	})
}

// A hub whose broker does not answer says so to those who want it, within seven seconds,
// and says when it has caught up.
func TestStatus(t *testing.T) {
	for name, fail := range map[string]func(b *faulty, away bool){
		"hangs": func(b *faulty, away bool) { b.stuck.Store(away); b.lossy.Store(away) },
		"fails": func(b *faulty, away bool) {
			if b.down.Store(away); away {
				b.fail()
			}
		},
		"loses its line": func(b *faulty, away bool) {
			if b.failing.Store(away); away {
				(*b.end.Load())()
			}
		},
		"is away for long": func(b *faulty, away bool) { b.down.Store(away); b.lossy.Store(away) },
	} {
		t.Run(name, func(t *testing.T) {
			withBroker(t, Config{}, func(t *testing.T, hub *Hub, b *faulty) {
				plain, wants := pipe(t, hub), pipe(t, hub)
				greet(t, wants)
				for _, ws := range []*websocket.Conn{plain, wants} {
					join(t, ws, "g")
				}
				time.Sleep(time.Minute)
				start := time.Now()
				for _, ws := range []*websocket.Conn{plain, wants} {
					require.NoError(t, ws.SetReadDeadline(start.Add(time.Minute)))
				}
				fail(b, true)
				assert.Contains(t, receive(t, wants), `"type":"rohrpost:status","data":{"status":"stale"}}`)
				assert.LessOrEqual(t, time.Since(start), 8*time.Second)
				assert.GreaterOrEqual(t, time.Since(start), 2*time.Second)
				late := pipe(t, hub)
				send(t, late, helloAll)
				assert.Contains(t, receive(t, late)+receive(t, late), `"status":"stale"`)
				time.Sleep(20 * time.Second)
				fail(b, false)
				healed := time.Now()
				assert.Contains(t, receive(t, wants), `"type":"rohrpost:status","data":{"status":"live"}}`)
				assert.LessOrEqual(t, time.Since(healed), 12*time.Second)
				require.NoError(t, hub.Publish(t.Context(), change(1)))
				assert.Contains(t, receive(t, plain), changed(1, 1), "it has not asked for a status")
				assert.Contains(t, receive(t, late), `"status":"live"`)
				require.NoError(t, errors.Join(plain.Close(), wants.Close(), late.Close()))
			})
		})
	}
}

// A hub that begins later knows the revocations before it: a user who has the right again
// resumes nothing from before, and others lose nothing.
func TestRevocationsOutliveAHub(t *testing.T) {
	limits := HistoryLimits{KeepUnused: 10 * time.Minute, MaxAge: 10 * time.Minute}
	for name, test := range map[string]struct {
		order  func(t *testing.T, h *farHub) error
		reason string // that ann reads
		bob    string // that bob reads; "": his replay is complete
	}{
		"nothing": {func(*testing.T, *farHub) error { return nil }, "", ""},
		"Revoke":  {func(t *testing.T, h *farHub) error { return h.near.Revoke(t.Context(), "ann", "g") }, "revoked", ""},
		"Recheck": {func(t *testing.T, h *farHub) error { return h.near.Recheck(t.Context(), "ann", "{any}") }, "revoked", ""},
		"Recheck of all": {func(t *testing.T, h *farHub) error {
			return h.far.Recheck(t.Context(), "", "")
		}, "revoked", ""},
		"Revoke of all": {func(t *testing.T, h *farHub) error { return h.near.Revoke(t.Context(), "", "g") }, "revoked", "revoked"},
		"another group": {func(t *testing.T, h *farHub) error { return h.near.Revoke(t.Context(), "ann", "h") }, "", ""},
		"a later version": {func(t *testing.T, h *farHub) error {
			publishTo(t, h.broker.MemoryBroker, 1, "!orders", "\x07?")
			return nil
		}, "revoked", "revoked"},
	} {
		t.Run(name, func(t *testing.T) {
			withFarHub(t, limits, func(t *testing.T, h *farHub) {
				old := h.far.engine.Positions()["g"]
				h.rights.deny("ann", "g")
				require.NoError(t, test.order(t, h))
				synctest.Wait()
				require.NoError(t, h.near.Publish(t.Context(), change(1)))
				require.NoError(t, h.near.Flush(t.Context()))
				require.NoError(t, errors.Join(h.ws.Close(), h.far.Shutdown(context.Background())))

				h.far, h.rights = granting(calm(Config{Broker: h.broker.MemoryBroker.Peer()}))
				for user, reason := range map[string]string{"bob": test.bob, "ann": test.reason} {
					h.far.config.Authenticate = func(*http.Request) (Identity, error) { return Identity{ID: user}, nil }
					ws := pipe(t, h.far)
					reply := sinceIn(t, ws, old)
					assert.Equal(t, reason == "", *reply.Data.Recovered, user)
					assert.Equal(t, reason, reply.Data.Reason, user)
					if reason == "" {
						assert.Contains(t, receive(t, ws), changed(1, 1))
					}
					require.NoError(t, h.near.Publish(t.Context(), change(2)))
					assert.Contains(t, receive(t, ws), `"object":2`, "the membership begins")
					require.NoError(t, ws.Close())
				}
				h.ws = pipe(t, h.far)
			})
		})
	}
}
