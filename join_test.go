package rohrpost

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// bobAt connects bob to a hub.
func bobAt(t *testing.T, hub *Hub) *websocket.Conn {
	t.Helper()
	hub.config.Authenticate = func(*http.Request) (Identity, error) { return Identity{ID: "bob"}, nil }
	return pipe(t, hub)
}

// A user who gets a right gets nothing that was published before, although the hub has yet
// to get it; and those who are members miss nothing.
func TestNothingFromBeforeTheRight(t *testing.T) {
	for name, subscribe := range map[string]string{
		"plain":        `{"id":1,"type":"subscribe","data":{"group":"g"}}`,
		"snapshot":     `{"id":1,"type":"subscribe","data":{"group":"g","snapshot":true}}`,
		"lost history": `{"id":1,"type":"subscribe","data":{"group":"g","since":{"epoch":"unknown","offset":0}}}`,
	} {
		for right, before := range map[string]func(t *testing.T, h *farHub){
			"new": func(t *testing.T, h *farHub) { h.rights.deny("bob", "g") },
			"lost and back": func(t *testing.T, h *farHub) {
				bob := bobAt(t, h.far)
				join(t, bob, "g")
				h.rights.deny("bob", "g")
				require.NoError(t, h.near.Revoke(t.Context(), "bob", "g"))
				synctest.Wait()
				require.NoError(t, bob.Close())
			},
		} {
			t.Run(name+"/"+right, func(t *testing.T) {
				withFarHub(t, HistoryLimits{}, func(t *testing.T, h *farHub) {
					h.far.Snapshot("g", func(context.Context, SnapshotRequest) (any, error) { return "rows", nil })
					before(t, h)
					require.NoError(t, h.ws.SetReadDeadline(time.Now().Add(time.Minute)))
					bob := bobAt(t, h.far)
					send(t, bob, subscribe)
					require.Contains(t, receive(t, bob), denied)
					h.broker.lossy.Store(true)
					require.NoError(t, h.near.Publish(t.Context(), change(1), change(2)))
					synctest.Wait()
					h.rights.set(func(string, string) error { return nil })
					send(t, bob, subscribe)
					assert.Contains(t, receive(t, bob), `"offset":2`)
					h.broker.lossy.Store(false)
					require.NoError(t, h.near.Publish(t.Context(), change(3)))
					assert.Contains(t, receive(t, bob), changed(3, 3))
					for n := 1; n <= 3; n++ {
						assert.Contains(t, receive(t, h.ws), changed(n, n))
					}
					require.NoError(t, bob.Close())
				})
			})
		}
	}
}

// While the broker is away nobody joins a group of which the hub may lack something. Then
// the client gets what came after its right.
func TestNobodyJoinsWithoutTheBroker(t *testing.T) {
	withFarHub(t, HistoryLimits{}, func(t *testing.T, h *farHub) {
		h.broker.fail()
		h.broker.unread.Store(true)
		synctest.Wait()
		require.NoError(t, h.near.Publish(t.Context(), change(1)))
		bob := bobAt(t, h.far)
		send(t, bob, `{"id":1,"type":"subscribe","data":{"group":"g"}}`)
		assert.Contains(t, receive(t, bob), `"error":"UNAVAILABLE"`)
		send(t, h.ws, `{"id":1,"type":"subscribe","data":{"group":"g"}}`)
		assert.Contains(t, receive(t, h.ws), `"offset":0`, "a member stays one")
		h.broker.unread.Store(false)
		time.Sleep(time.Minute)
		send(t, bob, `{"id":1,"type":"subscribe","data":{"group":"g"}}`)
		assert.Contains(t, receive(t, bob), `"offset":1`)
		assert.Contains(t, receive(t, h.ws), changed(1, 1))
		require.NoError(t, bob.Close())
	})
}

// A snapshot that is being read since before the right is not for its user where messages
// have come in between: these would follow it.
func TestNoSnapshotFromBeforeTheRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, rights := granting(calm(Config{}))
		calls := slowSnapshot(hub)
		hub.config.Authenticate = func(*http.Request) (Identity, error) { return Identity{ID: "ann"}, nil }
		ann := pipe(t, hub)
		bob := bobAt(t, hub)
		const load = `{"id":1,"type":"subscribe","data":{"group":"g","snapshot":true}}`
		rights.deny("bob", "g")
		send(t, ann, load)
		synctest.Wait()
		require.NoError(t, hub.Publish(t.Context(), change(1)))
		rights.set(func(string, string) error { return nil })
		send(t, bob, load)
		synctest.Wait()
		require.NoError(t, hub.Publish(t.Context(), change(2)))
		assert.Contains(t, receive(t, ann), `"offset":0,"snapshot":1`)
		assert.Contains(t, receive(t, bob), `"offset":1,"snapshot":2`)
		assert.Contains(t, receive(t, bob), changed(2, 2))
		assert.EqualValues(t, 2, calls.Load())
		require.NoError(t, errors.Join(ann.Close(), bob.Close(), hub.Shutdown(context.Background())))
	})
}
