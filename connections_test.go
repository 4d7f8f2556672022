package rohrpost

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// OnConnect comes before the first request, and OnDisconnect once after everything else.
func TestOnConnectAndOnDisconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var events []string
		event := func(format string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			events = append(events, fmt.Sprintf(format, args...))
		}
		hub := quiet(Config{
			Authenticate: byHeader,
			OnConnect: func(ctx context.Context, c *Conn) error {
				_, limited := ctx.Deadline()
				event("connect %s %v", c.Identity().ID, limited)
				time.Sleep(time.Second)
				return errors.Join(c.Join("inbox-"+c.Identity().ID), c.Send(Message{Type: "welcome"}))
			},
			OnDisconnect: func(c *Conn, code int, reason string) {
				event("disconnect %s %d %q %v", c.Identity().ID, code, reason, c.Context().Err())
				assert.Empty(t, hub2conns(c), "it is no connection of the user any more")
			},
		})
		hub.Handle("work", func(ctx context.Context, c *Conn, r *Request) (any, error) {
			event("work")
			if r.Data != nil {
				<-ctx.Done()
				event("work ends")
			}
			return nil, nil
		})
		ws := pipeAs(t, hub, "ann")
		send(t, ws, `{"id":1,"type":"work"}`)
		assert.Contains(t, receive(t, ws), `"welcome"`)
		assert.Equal(t, `{"id":1,"type":"work"}`, receive(t, ws))
		assert.Equal(t, []string{"inbox-ann"}, hub.Connections("ann")[0].Groups())
		send(t, ws, `{"id":1,"type":"work","data":1}`)
		synctest.Wait()
		require.NoError(t, hub.Connections("ann")[0].Close(4321, "bye"))
		assert.Equal(t, 4321, closeCode(ws))
		_ = ws.Close()
		synctest.Wait()

		client := pipeAs(t, hub, "bob")
		receive(t, client)
		require.NoError(t, client.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, "done"), time.Now().Add(time.Second)))
		assert.Equal(t, 1000, closeCode(client))
		synctest.Wait()
		lost := pipeAs(t, hub, "cyd")
		receive(t, lost)
		_ = lost.NetConn().Close()
		synctest.Wait()
		last := pipeAs(t, hub, "dan")
		receive(t, last)
		end(last, hub)
		assert.Equal(t, []string{
			"connect ann true", "work", "work", "work ends", `disconnect ann 4321 "bye" context canceled`,
			"connect bob true", `disconnect bob 1000 "done" context canceled`,
			"connect cyd true", `disconnect cyd 1006 "" context canceled`,
			"connect dan true",
		}, events[:len(events)-1])
		assert.Contains(t, events[len(events)-1], `disconnect dan 1001 "service restart`, "Shutdown has waited for it")
	})
}

func hub2conns(c *Conn) []*Conn { return c.hub.Connections(c.Identity().ID) }

func TestOnConnectRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		err    error
		code   int
		reason string
		logged int
	}{
		"readable":    {Errorf("banned"), 4403, "banned", 0},
		"unavailable": {fmt.Errorf("%w: no database", ErrUnavailable), 1013, "UNAVAILABLE", 1},
		"internal":    {errors.New("secret"), 1011, "internal error", 1},
	} {
		t.Run(name, func(t *testing.T) {
			called := 0
			hub, log := logged(Config{
				OnConnect:    func(context.Context, *Conn) error { return test.err },
				OnDisconnect: func(*Conn, int, string) { called++ },
			})
			hub.Handle("work", func(context.Context, *Conn, *Request) (any, error) { called++; return nil, nil })
			ws := dial(t, serve(t, hub))
			_ = ws.WriteMessage(websocket.TextMessage, []byte(`{"id":1,"type":"work"}`))
			_, _, err := ws.ReadMessage()
			var closed *websocket.CloseError
			require.ErrorAs(t, err, &closed)
			assert.Equal(t, &websocket.CloseError{Code: test.code, Text: test.reason}, closed)
			assert.Len(t, log.lines("open a connection"), test.logged)
			require.Eventually(t, func() bool { return hub.Stats().Connections == 0 }, 5*time.Second, time.Millisecond)
			assert.Zero(t, called, "neither a handler nor OnDisconnect")
		})
	}
}

func TestConnectionsAndMembers(t *testing.T) {
	hub, _ := granting(Config{})
	url := serve(t, hub)
	var all []*websocket.Conn
	for _, user := range []string{"ann", "bob", "ann", ""} {
		ws := dialAs(t, url, user)
		join(t, ws, "all")
		join(t, ws, "of-"+user)
		all = append(all, ws)
	}
	ids := func(conns []*Conn) (ids []string) {
		for _, c := range conns {
			ids = append(ids, c.Identity().ID)
		}
		slices.Sort(ids)
		return ids
	}
	assert.Equal(t, []string{"ann", "ann"}, ids(hub.Connections("ann")))
	assert.Empty(t, hub.Connections("nobody"))
	assert.Empty(t, hub.Connections(""), "anonymous is no user")
	assert.Equal(t, []string{"", "ann", "ann", "bob"}, ids(hub.Members("all")))
	assert.Equal(t, []string{"bob"}, ids(hub.Members("of-bob")))
	assert.Empty(t, hub.Members("none"))

	c := hub.Connections("bob")[0]
	require.NoError(t, c.Context().Err())
	assert.Len(t, c.ID(), 26)
	assert.Equal(t, c.ID(), c.ID())
	assert.NotEqual(t, c.ID(), hub.Connections("ann")[0].ID())
	send(t, all[1], helloAll)
	assert.Contains(t, receive(t, all[1]), `"connection":"`+c.ID()+`"`)
	require.NoError(t, all[1].NetConn().Close())
	<-c.Context().Done()
	require.Eventually(t, func() bool { return len(hub.Connections("bob")) == 0 }, 5*time.Second, time.Millisecond)
	assert.Empty(t, hub.Members("of-bob"))
}

func TestParamsInt64(t *testing.T) {
	p := Params{"a": "7", "b": "-9223372036854775808", "c": "07", "d": "9223372036854775808", "e": "x", "f": "+7"}
	for name, want := range map[string]int64{"a": 7, "b": -1 << 63} {
		got, err := p.Int64(name)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	for _, name := range []string{"c", "d", "e", "f", "missing"} {
		_, err := p.Int64(name)
		require.ErrorIs(t, err, errDenied, "one group has one name: %s", name)
	}
}

// A client that has gone without a word is disconnected all the same, and OnDisconnect
// learns of it.
func TestDisconnectOfAClientThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		codes := make(chan int, 1)
		hub := quiet(Config{Authenticate: byHeader, OnDisconnect: func(_ *Conn, code int, _ string) { codes <- code }})
		ws := pipeAs(t, hub, "ann") // it reads nothing any more
		join(t, ws, "g")
		require.NoError(t, hub.Publish(t.Context(), Change{Group: "g", Type: Update, Object: 1}))
		synctest.Wait() // it is being written
		start := time.Now()
		require.NoError(t, hub.Disconnect(t.Context(), "ann", 4403, "bye"))
		assert.LessOrEqual(t, time.Since(start), 10*time.Second, "WriteTimeout")
		<-codes
		assert.Empty(t, hub.Connections("ann"))
		assert.Zero(t, hub.Stats().Memberships)
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}

// OnConnect may end the other connections of its user, and its own. Another hub had a
// deadlock where connections did that to each other: centrifugal/centrifuge#515.
func TestConnectionsEndEachOther(t *testing.T) {
	const count = 20
	var hub *Hub
	hub = quiet(Config{
		Authenticate: func(*http.Request) (Identity, error) { return Identity{ID: "ann"}, nil },
		OnConnect: func(ctx context.Context, _ *Conn) error {
			return hub.Disconnect(ctx, "ann", 4000, "one at a time")
		},
	})
	address := serve(t, hub)
	codes := make(chan int, count)
	for range count {
		go func() {
			ws, _, err := websocket.DefaultDialer.Dial(address, nil)
			if !assert.NoError(t, err) {
				codes <- 0
				return
			}
			defer ws.Close()
			codes <- closeCode(ws)
		}()
	}
	for range count {
		assert.Equal(t, 4000, <-codes)
	}
	require.Eventually(t, func() bool { return hub.Stats().Connections == 0 }, 10*time.Second, time.Millisecond)
}
