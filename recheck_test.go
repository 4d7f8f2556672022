package rohrpost

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Recheck asks Allow, and ends what it refuses.
func TestRecheck(t *testing.T) {
	hub, rights := granting(Config{})
	hub.Allow("public-{n}", Anyone)
	url := serve(t, hub)
	ann, again, bob := dialAs(t, url, "ann"), dialAs(t, url, "ann"), dialAs(t, url, "bob")
	for _, ws := range []*websocket.Conn{ann, again, bob} {
		greet(t, ws)
		join(t, ws, "g-1")
		join(t, ws, "g-2")
		join(t, ws, "public-1")
	}
	require.NoError(t, hub.Connections("bob")[0].Join("joined"))
	assert.ElementsMatch(t, []string{"g-1", "g-2"}, (*subject)(hub.Connections("bob")[0]).Asked(), "neither what Anyone nor what Join has admitted")
	count := func(user, pattern string) int64 {
		t.Helper()
		before := rights.calls.Load()
		require.NoError(t, hub.Recheck(t.Context(), user, pattern))
		return rights.calls.Load() - before
	}
	assert.EqualValues(t, 2, count("ann", ""), "once for a group, however many connections")
	assert.EqualValues(t, 1, count("ann", "g-1"))
	assert.EqualValues(t, 4, count("", ""))
	assert.EqualValues(t, 0, count("nobody", ""))
	assert.Equal(t, 10, hub.Stats().Memberships)

	for range 2 {
		ws := dialAs(t, url, "")
		join(t, ws, "g-9")
		defer func() { _ = ws.Close() }()
	}
	assert.EqualValues(t, 2, count("", "g-9"), "anonymous clients have nothing in common")
	require.NoError(t, hub.Revoke(t.Context(), "", "g-9"))

	rights.set(func(string, string) error { return fmt.Errorf("%w: away", ErrUnavailable) })
	require.ErrorIs(t, hub.Recheck(t.Context(), "", ""), ErrUnavailable)
	assert.Equal(t, 10, hub.Stats().Memberships, "nothing is decided")
	rights.set(func(string, string) error { panic("no") })
	require.NoError(t, hub.Recheck(t.Context(), "ann", "g-1"))
	for _, ws := range []*websocket.Conn{ann, again} {
		assert.Contains(t, receive(t, ws), `"type":"unsubscribed","group":"g-1","object":{"reason":"revoked"}`)
	}
	require.NoError(t, hub.Recheck(t.Context(), "", ""))
	assert.Equal(t, 4, hub.Stats().Memberships, "public-1 and joined")
}

// Every RecheckInterval the hub asks once for each user, token and group.
func TestRecheckInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var asked []string
		hub := NewHub(Config{Authenticate: byHeader, PingInterval: -1, Limits: Limits{IdleTimeout: -1}, Logger: quiet(Config{}).log})
		start := time.Now()
		var earliest time.Duration // guarded by mu
		hub.Allow("g-{n}", func(ctx context.Context, c *Conn, p Params) error {
			mu.Lock()
			defer mu.Unlock()
			r := RequestFromContext(ctx)
			asked = append(asked, fmt.Sprintf("%s g-%s %s", c.Identity().ID, p["n"], r.Field("auth_jwt")))
			earliest = min(earliest, time.Since(start))
			var data struct{ Group string }
			if r.Bind(&data) != nil || data.Group != "g-"+p["n"] || r.Type != "subscribe" {
				return errors.New("another request")
			}
			return nil
		})
		hub.Allow("public", Anyone)
		var all []*websocket.Conn
		open := func(user, token string) {
			ws := pipeAs(t, hub, user)
			for _, group := range []string{"g-1", "g-2", "public"} {
				send(t, ws, `{"id":1,"type":"subscribe","auth_jwt":"`+token+`","data":{"group":"`+group+`"}}`)
				require.Contains(t, receive(t, ws), `"epoch"`)
			}
			all = append(all, ws)
		}
		for range 5 {
			open("ann", "t1")
		}
		open("ann", "t2")
		open("", "")
		open("", "")
		reset := func() []string {
			mu.Lock()
			defer mu.Unlock()
			before := asked
			asked = nil
			return before
		}
		reset()
		mu.Lock()
		earliest = time.Hour
		mu.Unlock()
		time.Sleep(6*time.Minute + time.Second)
		first := reset()
		once := map[string]int{}
		for _, a := range first {
			once[a]++
		}
		for _, a := range []string{`ann g-1 "t1"`, `ann g-2 "t1"`, `ann g-1 "t2"`, `ann g-2 "t2"`} {
			assert.Contains(t, []int{1, 2}, once[a], a) // some are due again already
		}
		assert.GreaterOrEqual(t, once[` g-1 ""`], 2, "anonymous clients have nothing in common")
		mu.Lock()
		assert.GreaterOrEqual(t, earliest, 4*time.Minute)
		mu.Unlock()
		time.Sleep(time.Hour)
		assert.InDelta(t, 8*12, len(reset()), 24, "twelve times for eight of user, token and group")
		for _, ws := range all {
			go func() { _ = closeCode(ws) }()
		}
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}

// At most 16 calls of Allow ask again at a time, also while some hang until their deadline,
// and no decision in time keeps the membership.
func TestRechecksAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, rights := granting(Config{PingInterval: -1, Limits: Limits{IdleTimeout: -1}})
		ws := pipeAs(t, hub, "ann")
		for i := range 40 {
			join(t, ws, fmt.Sprint("g-", i))
		}
		var now, most atomic.Int32
		rights.set(func(string, string) error {
			most.Store(max(most.Load(), now.Add(1)))
			defer now.Add(-1)
			time.Sleep(6 * time.Second) // longer than AuthorizeTimeout
			return nil
		})
		start := time.Now()
		require.ErrorIs(t, hub.Recheck(t.Context(), "ann", ""), ErrUnavailable)
		assert.Equal(t, 18*time.Second, time.Since(start))
		assert.EqualValues(t, 16, most.Load())
		assert.Equal(t, 40, hub.Stats().Memberships)
		end(ws, hub)
	})
}
