package rohrpost

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rohrpost/rohrpost/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLimitsOfAConnection(t *testing.T) {
	hub := quiet(Config{})
	address := serve(t, hub)
	ws := dial(t, address)
	for i := range 128 {
		join(t, ws, fmt.Sprintf("g-%d", i))
	}
	join(t, ws, "g-0") // a second subscription succeeds, and does not count
	send(t, ws, `{"id":1,"type":"subscribe","data":{"group":"one-more"}}`)
	assert.Equal(t, `{"id":1,"type":"subscribe","error":"Too many groups."}`, receive(t, ws))
	send(t, ws, `{"id":2,"type":"ping","data":"`+strings.Repeat("x", 65_000)+`"}`)
	assert.Len(t, receive(t, ws), 65_000+len(`{"id":2,"type":"pong","data":""}`))

	send(t, ws, strings.Repeat("x", 64<<10+1))
	assert.Equal(t, websocket.CloseMessageTooBig, closeCode(ws))
	require.Eventually(t, func() bool { return hub.Stats().Memberships == 0 }, 5*time.Second, time.Millisecond)
}

func TestConn(t *testing.T) {
	hub := quiet(Config{Authenticate: func(*http.Request) (Identity, error) { return Identity{ID: "ann"}, nil }})
	conns := make(chan *Conn, 1)
	hub.Handle("hello", func(_ context.Context, c *Conn, r *Request) (any, error) {
		conns <- c
		return "ignored", c.SendError(r, Errorf("no"), 5)
	})
	ws := dial(t, serve(t, hub))
	send(t, ws, `{"id":1,"type":"hello"}`)
	assert.Equal(t, `{"id":1,"type":"hello","error":"no","data":5}`, receive(t, ws))
	c := <-conns
	assert.Equal(t, "ann", c.Identity().ID)
	require.NoError(t, c.Join("b"))
	require.NoError(t, c.Join("a"))
	require.NoError(t, c.Join("a"))
	require.Error(t, c.Join("not a group"))
	assert.Equal(t, []string{"a", "b"}, c.Groups())
	c.Leave("a")
	c.Leave("unknown")
	assert.Equal(t, []string{"b"}, c.Groups())
	require.NoError(t, c.Send(Message{ID: "x", Data: json.RawMessage("null")}))
	assert.Equal(t, `{"id":"x","data":null}`, receive(t, ws))
	require.ErrorContains(t, c.SendSuccess(nil, 1), "You have to provide a message ID and handler on success messages.")
	require.Error(t, c.Close(1006, ""))
	require.NoError(t, c.Close(4321, "bye"))
	assert.Equal(t, 4321, closeCode(ws))
	require.ErrorIs(t, c.Send(Message{Type: "x"}), ErrClosed)
	require.ErrorIs(t, c.Join("a"), ErrClosed)
	assert.Empty(t, c.Groups())
}

func TestSlowConsumerIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := quiet(Config{Limits: Limits{MaxSendQueueBytes: 4 << 10}})
		slow, fast := pipe(t, hub), pipe(t, hub)
		join(t, slow, "g")
		join(t, fast, "g")
		text := strings.Repeat("x", 1000)
		for i := range 20 {
			require.NoError(t, hub.Send("g", Message{ID: i, Data: text}))
			var message struct{ ID int }
			require.NoError(t, json.Unmarshal([]byte(receive(t, fast)), &message))
			require.Equal(t, i, message.ID, "the other connection is not affected")
		}
		synctest.Wait()
		assert.EqualValues(t, 1, hub.Stats().SlowConsumers)
		assert.Equal(t, 1, hub.Stats().Memberships, "the connection has left its groups at once")
		assert.Equal(t, wire.CloseSlowConsumer, closeCode(slow))
		go func() { _ = closeCode(fast) }()
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}

func TestStalledWriteEndsAtItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := quiet(Config{})
		ws := pipe(t, hub)
		join(t, ws, "g")
		require.NoError(t, hub.Send("g", Message{Type: "x"})) // and the peer does not read
		time.Sleep(9 * time.Second)
		assert.Equal(t, 1, hub.Stats().Connections)
		time.Sleep(2 * time.Second)
		assert.Zero(t, hub.Stats().Connections)
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}

// A message that has waited too long closes the connection, however small it is.
func TestOldMessagesCloseAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := quiet(Config{PingInterval: -1, Limits: Limits{WriteTimeout: 50 * time.Second, IdleTimeout: -1}})
		ws := pipe(t, hub)
		join(t, ws, "g")
		require.NoError(t, hub.Send("g", Message{ID: 1, Type: "x"}))
		synctest.Wait() // it is being written
		require.NoError(t, hub.Send("g", Message{ID: 2, Type: "x"}))
		time.Sleep(29 * time.Second)
		assert.Equal(t, `{"id":1,"type":"x"}`, receive(t, ws))
		assert.Equal(t, `{"id":2,"type":"x"}`, receive(t, ws), "in time")

		require.NoError(t, hub.Send("g", Message{ID: 3, Type: "x"}))
		synctest.Wait()
		require.NoError(t, hub.Send("g", Message{ID: 4, Type: "x"}))
		time.Sleep(31 * time.Second)
		assert.Equal(t, `{"id":3,"type":"x"}`, receive(t, ws))
		assert.Equal(t, wire.CloseSlowConsumer, closeCode(ws))
		assert.EqualValues(t, 1, hub.Stats().SlowConsumers)
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}
