package rohrposttest_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/rohrposttest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestConn(t *testing.T) {
	db, hub := open(t)
	conn, other := rohrposttest.Dial(t, hub), rohrposttest.Dial(t, hub)
	conn.Subscribe("article-1", "news")
	conn.ExpectNothing()

	a := article{Title: "One"}
	require.NoError(t, db.Create(&a).Error)
	require.NoError(t, db.Model(&a).Update("title", "Two").Error)
	require.NoError(t, hub.Send("news", rohrpost.Message{Type: "headline", Data: "Read all about it"}))
	assert.Equal(t, "pong", conn.Call("ping", nil).Type) // Call keeps the messages before the reply
	conn.Expect("article-1", rohrpost.Create, rohrposttest.Object(map[string]any{"id": 1}))
	change := conn.Expect("article-1", rohrpost.Update, rohrposttest.UpdatedFields("title"), rohrposttest.Object(map[string]any{"id": 1}))
	assert.Equal(t, []string{"title"}, change.UpdatedFields)
	var headline string
	require.NoError(t, conn.ExpectMessage("headline").Bind(&headline))
	assert.Equal(t, "Read all about it", headline)
	conn.ExpectNothing()
	other.ExpectNothing()

	conn.Unsubscribe("article-1")
	require.NoError(t, db.Delete(&a).Error)
	conn.ExpectNothing()
	conn.Close()
	conn.Close()
	assert.Eventually(t, func() bool { return hub.Stats().Connections == 1 }, time.Second, time.Millisecond)
}

func TestConnReports(t *testing.T) {
	_, hub := open(t)
	hub.Handle("leave", func(_ context.Context, c *rohrpost.Conn, r *rohrpost.Request) (any, error) {
		return nil, errors.Join(c.SendSuccess(r, nil), c.Close(4321, "bye"))
	})
	publish := func(changeType string) {
		require.NoError(t, hub.Publish(t.Context(), rohrpost.Change{Group: "g", Type: changeType, Object: 1}))
	}
	for _, test := range []struct {
		name   string
		assert func(c *rohrposttest.Conn)
		want   string
	}{
		{"a different type", func(c *rohrposttest.Conn) { c.Expect("g", rohrpost.Delete) }, "expected: delete to g\nsent changes, most similar first:\n  1. create to g: 1\n       - type is create\n\n"},
		{"not a message", func(c *rohrposttest.Conn) { c.ExpectMessage("news") }, `the next message is {"id":`},
		{"an unexpected message", func(c *rohrposttest.Conn) { c.ExpectNothing() }, "unexpected messages:\n  1. {"},
		{"a denied subscription", func(c *rohrposttest.Conn) { c.Subscribe("no such name!") }, "subscribe no such name!: ACCESS_DENIED\n"},
		{"a different close code", func(c *rohrposttest.Conn) { c.Call("leave", nil); c.ExpectClosed(1000) }, "expected: close code 1000\nthe close code is 4321 bye\n"},
		{"a closed connection", func(c *rohrposttest.Conn) { c.Call("leave", nil); c.ExpectClosed(4321); c.Call("ping", nil) }, "the connection ended: websocket: close 4321: bye\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			assert.Contains(t, failing(t, func(t testing.TB) {
				c := rohrposttest.Dial(t, hub)
				c.Subscribe("g")
				publish(rohrpost.Create)
				test.assert(c)
			}), test.want)
		})
	}
}

func TestIdentities(t *testing.T) {
	hub := rohrpost.NewHub(rohrpost.Config{
		Authenticate: func(r *http.Request) (rohrpost.Identity, error) {
			return rohrpost.Identity{}, rohrpost.Errorf("who are you?")
		},
	})
	hub.Allow("inbox-{user}", func(_ context.Context, c *rohrpost.Conn, p rohrpost.Params) error {
		if c.Identity().ID != p["user"] {
			return rohrpost.Errorf("not yours")
		}
		return nil
	})
	ann, bob := rohrpost.Identity{ID: "ann"}, rohrpost.Identity{ID: "bob"}
	rohrposttest.Dial(t, hub, ann).Subscribe("inbox-ann")
	assert.Contains(t, failing(t, func(t testing.TB) { rohrposttest.Dial(t, hub) }), "401 Unauthorized: who are you?")
	rohrposttest.Allowed(t, hub, []rohrposttest.Access{
		{User: ann, Group: "inbox-ann", Want: true},
		{User: ann, Group: "inbox-bob"},
		{User: bob, Group: "inbox-bob", Want: true},
		{Group: "inbox-ann"},
		{User: ann, Group: "unknown"},
	})
	assert.Equal(t, "row 0: ann can subscribe to inbox-ann but must not\n"+
		"row 2: an anonymous user cannot subscribe to inbox-bob but must be able to\n",
		failing(t, func(t testing.TB) {
			rohrposttest.Allowed(t, hub, []rohrposttest.Access{
				{User: ann, Group: "inbox-ann"},
				{User: ann, Group: "inbox-bob"},
				{Group: "inbox-bob", Want: true},
			})
		}))
	require.NoError(t, hub.Shutdown(context.Background()))
	assert.Contains(t, failing(t, func(t testing.TB) { rohrposttest.Dial(t, hub, ann) }), "503")
}

// A connection works in a synctest bubble, where an hour passes at once.
func TestInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := rohrpost.NewHub(rohrpost.Config{})
		hub.Allow("g", rohrpost.Anyone)
		hub.Handle("remind", func(_ context.Context, c *rohrpost.Conn, r *rohrpost.Request) (any, error) {
			go func() {
				time.Sleep(time.Second)
				_ = c.SendSuccess(r, "now")
			}()
			return rohrpost.Later, nil
		})
		start := time.Now()
		conn := rohrposttest.Dial(t, hub, rohrpost.Identity{ID: "ann", Expires: start.Add(time.Hour)})
		conn.Subscribe("g")
		var text string
		require.NoError(t, conn.Call("remind", nil).Bind(&text))
		assert.Equal(t, "now", text)
		assert.Equal(t, time.Second, time.Since(start))
		require.NoError(t, hub.Publish(t.Context(), rohrpost.Change{Group: "g", Type: rohrpost.Create}))
		conn.Expect("g", rohrpost.Create)
		assert.Contains(t, failing(t, func(t testing.TB) {
			rohrposttest.Dial(t, hub).Expect("g", rohrpost.Create)
		}), "expected: create to g\nno message arrived")
		time.Sleep(time.Until(start.Add(time.Hour)))
		conn.ExpectClosed(4001)
		assert.Equal(t, time.Hour, time.Since(start))
	})
}

func TestShutdownOfHub(t *testing.T) {
	hub := rohrpost.NewHub(rohrpost.Config{})
	conn := rohrposttest.Dial(t, hub)
	start := time.Now()
	require.NoError(t, hub.Shutdown(context.Background()))
	assert.Less(t, time.Since(start), 4*time.Second, "the connection must answer the close frame")
	conn.ExpectClosed(1001)
}

func TestErrorsOfReplies(t *testing.T) {
	hub := rohrpost.NewHub(rohrpost.Config{})
	hub.Handle("content", func(context.Context, *rohrpost.Conn, *rohrpost.Request) (any, error) {
		return nil, rohrpost.ErrorContent(map[string]int{"left": 3})
	})
	conn := rohrposttest.Dial(t, hub)
	reply := conn.Call("content", nil)
	assert.JSONEq(t, `{"left":3}`, reply.Error)
	assert.Equal(t, "application", reply.ErrorCode)
	reply = conn.Call("subscribe", map[string]string{"group": "unknown"})
	assert.Equal(t, "ACCESS_DENIED", reply.Error)
	assert.Equal(t, "access_denied", reply.ErrorCode)
	assert.Empty(t, conn.Call("ping", nil).Error)
}
