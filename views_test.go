package rohrpost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// viewHub is a hub whose boards have the views "staff" and "guest". The token of a request
// names the view; role, if it is set, takes its place.
func viewHub(t *testing.T, role *atomic.Value) *Hub { return viewHubOn(t, Config{}, role) }

func viewHubOn(t *testing.T, c Config, role *atomic.Value) *Hub {
	c.Logger = slog.New(slog.DiscardHandler)
	c.Authenticate = func(*http.Request) (Identity, error) { return Identity{ID: "ann"}, nil }
	hub := NewHub(c)
	hub.AllowViews("board-{id}", []string{"staff", "guest"}, func(ctx context.Context, _ *Conn, p Params) (string, error) {
		assert.NotContains(t, p["id"], "@")
		if role != nil {
			if view, _ := role.Load().(string); view != "" {
				return view, nil
			}
		}
		var view string
		if err := json.Unmarshal(RequestFromContext(ctx).Field("auth_jwt"), &view); err != nil || view == "" {
			return "", Errorf("no role")
		}
		return view, nil
	})
	hub.Snapshot("board-{id}", func(_ context.Context, r SnapshotRequest) (any, error) {
		return []string{r.Group + " for " + r.View}, nil
	})
	return hub
}

const asView = `{"id":%d,"type":"subscribe","auth_jwt":%q,"data":{"group":"board-7"%s}}`

// boundWaits lets a view that misses a change fail its test, not hang it.
func boundWaits(t *testing.T, pages ...*websocket.Conn) {
	for _, ws := range pages {
		require.NoError(t, ws.SetReadDeadline(time.Now().Add(30*time.Second)))
	}
}

func TestAllowViews(t *testing.T) {
	hub := viewHub(t, nil)
	server := serve(t, hub)
	staff, guest := dial(t, server), dial(t, server)
	boundWaits(t, staff, guest)
	send(t, staff, fmt.Sprintf(asView, 1, "staff", `,"snapshot":true`))
	assert.Contains(t, receive(t, staff), `"snapshot":["board-7 for staff"]`)
	send(t, guest, fmt.Sprintf(asView, 1, "guest", `,"snapshot":true`))
	assert.Contains(t, receive(t, guest), `"snapshot":["board-7 for guest"]`)

	both := func(contains string) {
		for _, text := range []string{receive(t, staff), receive(t, guest)} {
			assert.Contains(t, text, contains)
			assert.NotContains(t, text, "@")
		}
	}
	ctx := t.Context()
	require.NoError(t, hub.Publish(ctx, Change{Group: "board-7", Type: Update, Object: 1}))
	both(`"group":"board-7","object":1,"offset":1}}`)
	require.NoError(t, hub.Publish(ctx, Change{Group: "board-7", Type: Update, Object: 2, View: "staff"}))
	assert.Contains(t, receive(t, staff), `"group":"board-7","object":2,"offset":2}}`)
	require.NoError(t, hub.Publish(ctx, Change{Group: "board-{id}", Type: Resync}))
	assert.Contains(t, receive(t, staff), `"type":"resync","group":"board-7","object":null,"offset":3}}`)
	assert.Contains(t, receive(t, guest), `"type":"resync","group":"board-7","object":null,"offset":2}}`)
	require.NoError(t, hub.Send("board-7", Message{Type: "hint"}))
	both(`"type":"hint","group":"board-7"}`)
	require.NoError(t, hub.SendRaw("board-7", []byte(`{"a":1}`)))
	both(`{"a":1}`)

	members := hub.Members("board-7")
	require.Len(t, members, 2)
	assert.Equal(t, []string{"board-7"}, members[0].Groups())
	assert.ErrorContains(t, members[0].Join("board-7"), "has views")
	members[0].Leave("board-7")
	assert.Len(t, hub.Members("board-7"), 1)
	hub.Connections("ann")[0].Leave("board-7")
	hub.Connections("ann")[1].Leave("board-7")
	assert.Zero(t, hub.Stats().Memberships)
	assert.EqualValues(t, 4, hub.Stats().Published, "a change counts once")
}

func TestUnsubscribeLeavesAView(t *testing.T) {
	hub := viewHub(t, nil)
	ws := dial(t, serve(t, hub))
	send(t, ws, fmt.Sprintf(asView, 1, "guest", ""))
	receive(t, ws)
	send(t, ws, `{"id":2,"type":"unsubscribe","data":{"group":"board-7"}}`)
	assert.Equal(t, `{"id":2,"type":"unsubscribe","data":{"group":"board-7"}}`, receive(t, ws))
	assert.Zero(t, hub.Stats().Memberships)
}

func TestRefusalsOfViews(t *testing.T) {
	var log strings.Builder
	hub := viewHub(t, nil)
	hub.log = slog.New(slog.NewTextHandler(&log, nil))
	ws := dial(t, serve(t, hub))
	for _, view := range []string{"", "other", "Staff", "staff@", "@"} {
		send(t, ws, fmt.Sprintf(asView, 1, view, ""))
		assert.Contains(t, receive(t, ws), `"error":"ACCESS_DENIED"`, view)
	}
	assert.Contains(t, log.String(), `returned the view \"other\", which is none of`)
	send(t, ws, `{"id":2,"type":"subscribe","auth_jwt":"guest","data":{"group":"board-7@staff"}}`)
	assert.Contains(t, receive(t, ws), `"error":"ACCESS_DENIED"`, "a stream is no group")
	assert.Zero(t, hub.Stats().Memberships)
	ctx := t.Context()
	assert.ErrorContains(t, hub.Publish(ctx, Change{Group: "board-7", Type: Update, View: "other"}), `has no view "other"`)
	assert.ErrorContains(t, hub.Publish(ctx, Change{Group: "board-7", Type: Update, View: "a b"}), "the view")
	assert.ErrorContains(t, hub.Publish(ctx, Change{Group: "board-7@staff", Type: Update}), "malformed group name")
	assert.ErrorContains(t, hub.Publish(ctx, Change{Group: "wiki-7", Type: Update, View: "staff"}), "has no view")
	assert.Error(t, hub.Send("board-7@staff", Message{Type: "hint"}))
	_, err := hub.Position(ctx, "board-7")
	assert.ErrorContains(t, err, "has views: name one of")
	_, err = hub.PositionInView(ctx, "board-7", "other")
	assert.ErrorContains(t, err, "has no view")
}

func TestMalformedViewsPanic(t *testing.T) {
	choose := func(context.Context, *Conn, Params) (string, error) { return "a", nil }
	many := make([]string, 17)
	for i := range many {
		many[i] = fmt.Sprint("v", i)
	}
	for _, views := range [][]string{nil, {}, {"A"}, {"a b"}, {"a-b"}, {""}, {"a", "a"}, {strings.Repeat("a", 33)}, many} {
		assert.Panics(t, func() { NewHub(Config{}).AllowViews("g", views, choose) }, views)
	}
	assert.Panics(t, func() { NewHub(Config{}).AllowViews("g", []string{"a"}, nil) })
	hub := NewHub(Config{})
	hub.AllowViews("g", []string{strings.Repeat("a", 32), "a_1"}, choose)
	assert.Panics(t, func() { hub.Allow("g", Anyone) }, "it is defined already")
}

// A position of one view says nothing about another one, although a broker may give both
// the same epoch.
func TestPositionsOfViews(t *testing.T) {
	for _, stream := range []string{"g@a", "g@b", "g"} {
		for _, other := range []string{"g@a", "g@b", "g"} {
			back := wire.EpochFrom(other, wire.EpochFor(stream, "E"))
			require.Equal(t, stream == other, back == "E", "%s, %s", stream, other)
		}
	}
	var role atomic.Value
	hub := viewHub(t, &role)
	ws := dial(t, serve(t, hub))
	since := func(at Position) string {
		return fmt.Sprintf(`,"since":{"epoch":%q,"offset":%d}`, at.Epoch, at.Offset)
	}
	staff, err := hub.PositionInView(t.Context(), "board-7", "staff")
	require.NoError(t, err)
	guest, err := hub.PositionInView(t.Context(), "board-7", "guest")
	require.NoError(t, err)
	assert.NotEqual(t, staff.Epoch, guest.Epoch)
	require.NoError(t, hub.Publish(t.Context(), Change{Group: "board-7", Type: Update, Object: "for all"}))
	require.NoError(t, hub.Publish(t.Context(), Change{Group: "board-7", Type: Update, Object: "secret", View: "staff"}))
	send(t, ws, fmt.Sprintf(asView, 1, "guest", since(guest)))
	assert.Contains(t, receive(t, ws), `"recovered":true,"missed":1`)
	assert.Contains(t, receive(t, ws), `"for all"`)
	send(t, ws, fmt.Sprintf(asView, 2, "guest", since(staff)))
	assert.Contains(t, receive(t, ws), `"recovered":false,"reason":"epoch"`)
	send(t, ws, fmt.Sprintf(asView, 3, "staff", since(staff)))
	assert.Contains(t, receive(t, ws), `"recovered":true,"missed":2`)
}

// A view that changes at a recheck: nothing of the former one follows, and everything of
// the new one does, from the position in the resync on.
func TestRecheckChangesTheView(t *testing.T) {
	for _, wants := range []string{``, `"unsubscribed"`} {
		var role atomic.Value
		hub := viewHub(t, &role)
		ws := dial(t, serve(t, hub))
		send(t, ws, `{"id":0,"type":"rohrpost:hello","data":{"version":1,"wants":[`+wants+`]}}`)
		receive(t, ws)
		role.Store("staff")
		send(t, ws, fmt.Sprintf(asView, 1, "x", ""))
		receive(t, ws)
		publish := func(object string, view string) {
			require.NoError(t, hub.Publish(t.Context(), Change{Group: "board-7", Type: Update, Object: object, View: view}))
		}
		publish("first", "")
		assert.Contains(t, receive(t, ws), `"first","offset":1`)

		role.Store("guest")
		require.NoError(t, hub.Recheck(t.Context(), "ann", ""))
		publish("secret", "staff")
		publish("open", "guest")
		resync := receive(t, ws)
		require.Contains(t, resync, `"type":"resync","group":"board-7","object":{"reason":"view","spread":0},"epoch":"`)
		assert.Contains(t, resync, `"offset":0}}`)
		assert.Contains(t, receive(t, ws), `"object":"open","offset":1`)

		require.NoError(t, hub.Recheck(t.Context(), "ann", ""), "nothing changes")
		role.Store("staff")
		require.NoError(t, hub.Recheck(t.Context(), "ann", "board-{id}"))
		assert.Contains(t, receive(t, ws), `"reason":"view"`)
		publish("again", "staff")
		assert.Contains(t, receive(t, ws), `"object":"again","offset":3`)
		assert.Equal(t, 1, hub.Stats().Memberships)

		role.Store("nobody")
		require.NoError(t, hub.Recheck(t.Context(), "ann", ""))
		if wants != "" {
			assert.Contains(t, receive(t, ws), `"type":"unsubscribed","group":"board-7","object":{"reason":"revoked"}`)
		}
		assert.Zero(t, hub.Stats().Memberships)
	}
}

// A client that subscribes again after its role has changed leaves its former view at once.
func TestSubscribingAgainChangesTheView(t *testing.T) {
	hub := viewHub(t, nil)
	ws := dial(t, serve(t, hub))
	for i, view := range []string{"staff", "guest", "staff", "staff"} {
		send(t, ws, fmt.Sprintf(asView, i, view, ""))
		assert.Contains(t, receive(t, ws), `"group":"board-7"`)
		assert.Equal(t, 1, hub.Stats().Memberships)
	}
	require.NoError(t, hub.Publish(t.Context(), Change{Group: "board-7", Type: Update, View: "guest"}))
	require.NoError(t, hub.Publish(t.Context(), Change{Group: "board-7", Type: Update, View: "staff"}))
	assert.Contains(t, receive(t, ws), `"offset":1`)
	send(t, ws, `{"id":9,"type":"ping"}`)
	assert.Contains(t, receive(t, ws), `"pong"`, "one change came")
	send(t, ws, fmt.Sprintf(asView, 10, "", ""))
	assert.Contains(t, receive(t, ws), "ACCESS_DENIED")
	assert.Zero(t, hub.Stats().Memberships, "a refusal ends the membership in the view")
}

// The view is decided again if the rights change while a snapshot is read.
func TestViewChangesDuringASnapshot(t *testing.T) {
	var role atomic.Value
	role.Store("staff")
	hub := viewHub(t, &role)
	hub.SnapshotFor("board-9", func(_ context.Context, _ *Conn, r SnapshotRequest) (any, error) {
		if role.CompareAndSwap("staff", "guest") {
			if err := hub.Recheck(context.Background(), "ann", ""); err != nil && !errors.Is(err, ErrUnavailable) {
				return nil, err
			}
		}
		return []string{r.View}, nil
	})
	ws := dial(t, serve(t, hub))
	send(t, ws, `{"id":1,"type":"subscribe","data":{"group":"board-9","snapshot":true}}`)
	assert.Contains(t, receive(t, ws), `"error":"UNAVAILABLE"`, "the client asks again")
	send(t, ws, `{"id":2,"type":"subscribe","data":{"group":"board-9","snapshot":true}}`)
	assert.Contains(t, receive(t, ws), `"snapshot":["guest"]`)
}

// Two hubs and a worker without connections share a broker. A change of the worker reaches
// the views at both hubs, and a recheck ordered at one changes the view at the other.
func TestViewsOfSeveralHubs(t *testing.T) {
	shared := NewMemoryBroker(HistoryLimits{})
	var role atomic.Value
	role.Store("staff")
	a, b := viewHubOn(t, Config{Broker: shared}, &role), viewHubOn(t, Config{Broker: shared.Peer()}, nil)
	worker := viewHubOn(t, Config{Broker: shared.Peer()}, nil)
	staff, guest := dial(t, serve(t, a)), dial(t, serve(t, b))
	boundWaits(t, staff, guest)
	send(t, staff, fmt.Sprintf(asView, 1, "x", ""))
	assert.Contains(t, receive(t, staff), `"group":"board-7"`)
	send(t, guest, fmt.Sprintf(asView, 1, "guest", `,"snapshot":true`))
	assert.Contains(t, receive(t, guest), `for guest`)
	ctx := t.Context()
	require.NoError(t, worker.Publish(ctx, Change{Group: "board-7", Type: Update, Object: "secret", View: "staff"}, Change{Group: "board-7", Type: Update, Object: "open"}))
	assert.Contains(t, receive(t, staff), `"secret","offset":1`)
	assert.Contains(t, receive(t, staff), `"open","offset":2`)
	assert.Contains(t, receive(t, guest), `"open","offset":1`)
	require.NoError(t, worker.Publish(ctx, Change{Group: "board-{id}", Type: Resync}))
	assert.Contains(t, receive(t, staff), `"type":"resync"`)
	assert.Contains(t, receive(t, guest), `"type":"resync"`)
	require.NoError(t, worker.PublishBatches(ctx, []broker.Batch{{Source: "s", Number: 1, Messages: []broker.Message{
		worker.encodeStored(&wire.Change{Group: "board-7", Type: Update, Object: "stored"}),
		worker.encodeStored(&wire.Change{Group: "board-7", Type: Update, Object: "stored for staff", View: "staff"}),
	}}}))
	next := func(ws *websocket.Conn, contains string) {
		text := receive(t, ws)
		for strings.Contains(text, `"resync"`) { // one of each hub
			text = receive(t, ws)
		}
		assert.Contains(t, text, contains)
	}
	next(staff, `"object":"stored","offset":`)
	next(staff, `"object":"stored for staff","offset":`)
	next(guest, `"object":"stored","offset":`)

	role.Store("guest")
	require.NoError(t, b.Recheck(ctx, "ann", ""))
	assert.Eventually(t, func() bool { return len(a.engine.MembersOf("board-7@guest")) == 1 }, 5*time.Second, time.Millisecond)
	require.NoError(t, worker.Publish(ctx, Change{Group: "board-7", Type: Update, Object: "more secrets", View: "staff"}, Change{Group: "board-7", Type: Update, Object: "end"}))
	assert.Contains(t, receive(t, staff), `"reason":"view"`)
	assert.Contains(t, receive(t, staff), `"object":"end"`)
	assert.Contains(t, receive(t, guest), `"object":"end"`)
	for _, ws := range []*websocket.Conn{staff, guest} {
		go func() { _ = closeCode(ws) }()
	}
	for _, hub := range []*Hub{worker, b, a} {
		require.NoError(t, hub.Shutdown(ctx))
	}
}

// Clients that ask for the snapshot of a view share calls with those of the same view only.
func TestSnapshotsOfViewsAreNotShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := viewHubOn(t, calm(Config{DisableHistory: true}), nil) // positions do not tell the views apart
		var calls atomic.Int32
		hub.Snapshot("board-8", func(_ context.Context, r SnapshotRequest) (any, error) {
			calls.Add(1)
			time.Sleep(time.Second)
			return []string{r.View}, nil
		})
		var pages []*websocket.Conn
		for i := range 6 {
			ws := pipe(t, hub)
			pages = append(pages, ws)
			view := []string{"staff", "guest"}[i%2]
			send(t, ws, fmt.Sprintf(`{"id":1,"type":"subscribe","auth_jwt":%q,"data":{"group":"board-8","snapshot":true}}`, view))
		}
		for i, ws := range pages {
			assert.Contains(t, receive(t, ws), `"snapshot":["`+[]string{"staff", "guest"}[i%2]+`"]`)
		}
		assert.Less(t, calls.Load(), int32(6), "those of one view share calls")
		for _, ws := range pages {
			require.NoError(t, ws.Close())
		}
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}

// A hub that has views costs other groups no allocation.
func TestViewsCostOtherGroupsNothing(t *testing.T) {
	allocations := func(hub *Hub) float64 {
		_, err := hub.Position(context.Background(), "g")
		require.NoError(t, err)
		change := Change{Group: "g", Type: Update, Object: json.RawMessage("1")}
		return testing.AllocsPerRun(1000, func() { _ = hub.Publish(context.Background(), change) })
	}
	assert.Equal(t, allocations(NewHub(Config{})), allocations(viewHub(t, nil)))
}

// TestNothingOfAnotherViewFollows lets the view of a member change again and again while
// both views get changes: between two resyncs with the reason "view", nothing of another view
// may come, and the offsets are dense from the position in the resync on.
func TestNothingOfAnotherViewFollows(t *testing.T) {
	for name, config := range map[string]Config{"alone": {}, "broker": {Broker: NewMemoryBroker(HistoryLimits{})}} {
		t.Run(name, func(t *testing.T) {
			var role atomic.Value
			role.Store("staff")
			hub := viewHubOn(t, config, &role)
			ws := dial(t, serve(t, hub))
			send(t, ws, fmt.Sprintf(asView, 1, "x", ""))
			receive(t, ws)
			stop := make(chan struct{})
			var publishing sync.WaitGroup
			for _, view := range []string{"staff", "guest"} {
				publishing.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
							_ = hub.Publish(context.Background(), Change{Group: "board-7", Type: Update, Object: view, View: view})
							time.Sleep(100 * time.Microsecond)
						}
					}
				})
			}
			const turns = 60
			publishing.Go(func() {
				for turn := range turns {
					role.Store([]string{"guest", "staff"}[turn%2])
					if err := hub.Recheck(context.Background(), "ann", ""); err != nil {
						t.Error(err)
					}
				}
				close(stop)
				_ = hub.Publish(context.Background(), Change{Group: "board-7", Type: Update, Object: "end"})
			})
			checkTurns(t, ws)
			publishing.Wait()
			go func() { _ = closeCode(ws) }()
			shutDown(t, hub)
		})
	}
}

// checkTurns reads until the object "end". The resync of a turn is discarded with the view
// to which it belongs, if the next turn comes before it is written.
func checkTurns(t *testing.T, ws *websocket.Conn) {
	type change struct {
		Data struct {
			Type, Epoch string
			Object      json.RawMessage
			Prev        *uint64
			Offset      uint64
		}
	}
	view, at, turns, changes := "staff", uint64(0), 0, 0
	for {
		var c change
		require.NoError(t, json.Unmarshal([]byte(receive(t, ws)), &c))
		if c.Data.Type == Resync {
			require.Contains(t, string(c.Data.Object), `"reason":"view"`)
			view, at = "guest", c.Data.Offset
			if wire.EpochFrom("g@staff", c.Data.Epoch) != "" {
				view = "staff"
			}
			turns++
			continue
		}
		before := c.Data.Offset - 1
		if c.Data.Prev != nil {
			before = *c.Data.Prev
		}
		require.Equal(t, at, before, "nothing is missing")
		at = c.Data.Offset
		if string(c.Data.Object) == `"end"` {
			break
		}
		require.Equal(t, `"`+view+`"`, string(c.Data.Object), "after %d turns", turns)
		changes++
	}
	assert.Positive(t, turns)
	assert.Positive(t, changes)
}
