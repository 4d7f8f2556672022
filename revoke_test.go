package rohrpost

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// byHeader identifies a client by the header "User".
func byHeader(r *http.Request) (Identity, error) { return Identity{ID: r.Header.Get("User")}, nil }

func dialAs(t testing.TB, url, user string) *websocket.Conn {
	t.Helper()
	ws, _, err := websocket.DefaultDialer.Dial(url, http.Header{"User": {user}})
	require.NoError(t, err)
	t.Cleanup(func() { _ = ws.Close() })
	return ws
}

const helloAll = `{"id":0,"type":"rohrpost:hello","data":{"version":1,"wants":["unsubscribed","parts","expiring"]}}`

// greet sends a hello with all wants.
func greet(t testing.TB, ws *websocket.Conn) {
	t.Helper()
	send(t, ws, helloAll)
	require.Contains(t, receive(t, ws), `"type":"rohrpost:hello"`)
}

// granting returns a hub on which Allow admits the users of a set to all groups.
func granting(config Config) (*Hub, *rights) {
	config.Authenticate = byHeader
	config.Logger = quiet(Config{}).log
	hub := NewHub(config)
	hub.portable = *portable
	r := &rights{}
	hub.Allow("{any}", r.allow)
	return hub, r
}

// rights are those that Allow knows. The zero value grants everything.
type rights struct {
	calls atomic.Int64
	check atomic.Pointer[func(user, group string) error]
}

func (r *rights) allow(_ context.Context, c *Conn, p Params) error {
	r.calls.Add(1)
	if check := r.check.Load(); check != nil {
		return (*check)(c.Identity().ID, p["any"])
	}
	return nil
}

func (r *rights) set(check func(user, group string) error) { r.check.Store(&check) }

func (r *rights) deny(user, group string) {
	r.set(func(u, g string) error {
		if u == user && g == group {
			return errors.New("not any more")
		}
		return nil
	})
}

const denied = `"error":"ACCESS_DENIED"`

func TestRevokeEndsMembershipsOfTheUser(t *testing.T) {
	hub, rights := granting(Config{})
	url := serve(t, hub)
	ann, again, bob, silent := dialAs(t, url, "ann"), dialAs(t, url, "ann"), dialAs(t, url, "bob"), dialAs(t, url, "ann")
	for _, ws := range []*websocket.Conn{ann, again, bob} {
		greet(t, ws)
	}
	for _, ws := range []*websocket.Conn{ann, again, bob, silent} {
		join(t, ws, "project-7")
		join(t, ws, "project-8")
	}
	rights.deny("ann", "project-7")
	require.NoError(t, hub.Revoke(t.Context(), "ann", "project-7"))
	require.NoError(t, hub.Publish(t.Context(),
		Change{Group: "project-7", Type: Update, Object: 1}, Change{Group: "project-8", Type: Update, Object: 1}))
	for _, ws := range []*websocket.Conn{ann, again} {
		assert.Contains(t, receive(t, ws), `"data":{"type":"unsubscribed","group":"project-7","object":{"reason":"revoked"}}}`)
		assert.Contains(t, receive(t, ws), `"group":"project-8"`)
	}
	assert.Contains(t, receive(t, silent), `"group":"project-8"`, "without hello nothing tells of the revocation")
	assert.Contains(t, receive(t, bob), `"group":"project-7"`)
	send(t, ann, `{"id":1,"type":"subscribe","data":{"group":"project-7"}}`)
	assert.Contains(t, receive(t, ann), denied)
	assert.EqualValues(t, 3, hub.Stats().Revoked)

	require.NoError(t, hub.Revoke(t.Context(), "", "project-{id}"))
	require.NoError(t, hub.Publish(t.Context(), Change{Group: "project-8", Type: Update, Object: 1}))
	assert.Contains(t, receive(t, bob), `"group":"project-8"`)
	assert.Contains(t, receive(t, bob), `"unsubscribed"`)
	assert.Contains(t, receive(t, bob), `"unsubscribed"`)
	assert.Zero(t, hub.Stats().Memberships)

	require.ErrorContains(t, hub.Revoke(t.Context(), "ann", "{a}{b}"), "two placeholders")
	require.ErrorContains(t, hub.Recheck(t.Context(), "ann", "ä"), "pattern")
	require.ErrorContains(t, hub.Disconnect(t.Context(), "ann", 1006, ""), "1006")
}

func TestDisconnect(t *testing.T) {
	hub, _ := granting(Config{})
	url := serve(t, hub)
	ann, bob := dialAs(t, url, "ann"), dialAs(t, url, "bob")
	join(t, ann, "g")
	join(t, bob, "g")
	require.Len(t, hub.Connections("ann"), 1)
	require.NoError(t, hub.Disconnect(t.Context(), "ann", 4403, "bye"))
	_, _, err := ann.ReadMessage()
	var closed *websocket.CloseError
	require.ErrorAs(t, err, &closed)
	assert.Equal(t, &websocket.CloseError{Code: 4403, Text: "bye"}, closed)
	require.Eventually(t, func() bool { return len(hub.Connections("ann")) == 0 }, 5*time.Second, time.Millisecond)
	require.NoError(t, hub.Publish(t.Context(), Change{Group: "g", Type: Update, Object: 1}))
	assert.Contains(t, receive(t, bob), `"group":"g"`)
	require.NoError(t, hub.Disconnect(t.Context(), "", 4000, ""))
	assert.Equal(t, 4000, closeCode(bob))
}
