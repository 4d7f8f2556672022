package rohrpost

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A plain message names its group; a raw one is sent byte for byte.
func TestPlainMessagesNameTheirGroup(t *testing.T) {
	hub := quiet(Config{})
	ws := dial(t, serve(t, hub))
	join(t, ws, "g")
	require.NoError(t, hub.Send("g", Message{ID: 1, Type: "hint", Data: map[string]int{"a": 1}, Error: "e"}))
	assert.Equal(t, `{"id":1,"type":"hint","error":"e","data":{"a":1},"group":"g"}`, receive(t, ws))
	require.NoError(t, hub.SendRaw("g", []byte(`{"type":"hint"}`)))
	assert.Equal(t, `{"type":"hint"}`, receive(t, ws))
}

// Publish takes types of the program. Its changes have offsets and are replayed.
func TestDurableMessages(t *testing.T) {
	hub := quiet(Config{})
	address := serve(t, hub)
	ws := dial(t, address)
	at, err := hub.Position(t.Context(), "g")
	require.NoError(t, err)
	require.NoError(t, hub.Publish(t.Context(), Change{Group: "g", Type: "chat_message-2", Object: 1}, change(2)))
	got := resume(t, ws, "g", at)
	assert.True(t, *got.Recovered)
	assert.Equal(t, 2, got.Missed)
	assert.Contains(t, receive(t, ws), `"data":{"type":"chat_message-2","group":"g","object":1,"offset":1}}`)
	assert.Contains(t, receive(t, ws), changed(2, 2))
	for _, name := range []string{"unsubscribed", "Chat", "a b", strings.Repeat("x", 65)} {
		require.Error(t, hub.Publish(t.Context(), Change{Group: "g", Type: name}), name)
	}
}

func TestRawRequest(t *testing.T) {
	hub := quiet(Config{})
	hub.Handle("raw", func(_ context.Context, _ *Conn, r *Request) (any, error) {
		return []string{string(r.Raw()), string(r.Field("more"))}, nil
	})
	ws := dial(t, serve(t, hub))
	const text = ` {"more": [1, 2],"id":1, "type":"raw"}`
	send(t, ws, text)
	want, err := json.Marshal([]string{text, "[1, 2]"})
	require.NoError(t, err)
	assert.Equal(t, `{"id":1,"type":"raw","data":`+string(want)+`}`, receive(t, ws))
	assert.Nil(t, (&Request{ID: json.RawMessage("1"), Type: "made"}).Raw())
}

func TestMaxDepthIsConfigurable(t *testing.T) {
	ws := dial(t, serve(t, quiet(Config{Limits: Limits{MaxDepth: 3}})))
	send(t, ws, `{"id":1,"type":"ping","data":[[]]}`)
	assert.Equal(t, `{"id":1,"type":"pong","data":[[]]}`, receive(t, ws))
	send(t, ws, `{"id":2,"type":"ping","data":[[[]]]}`)
	assert.Equal(t, `{"id":2,"error":"Could not decode JSON message. Error: nested deeper than 3 levels.",`+
		`"error_info":{"code":"malformed","temporary":false}}`, receive(t, ws))
}

// The members of a group spread their reloads, the more the longer.
func TestResyncsAreSpread(t *testing.T) {
	hub := quiet(Config{})
	address := serve(t, hub)
	ws := dial(t, address)
	join(t, ws, "g")
	resync := func() string {
		require.NoError(t, hub.Publish(t.Context(), newResync("g", "commit")))
		return receive(t, ws)
	}
	assert.Contains(t, resync(), `"object":{"reason":"commit","spread":0},"offset":1}}`)
	for range 30 {
		join2 := dial(t, address)
		send(t, join2, `{"id":1,"type":"subscribe","data":{"group":"g"}}`)
		receive(t, join2)
	}
	assert.Contains(t, resync(), `"object":{"reason":"commit","spread":300},"offset":2}}`)
}

// A client whose line is slow is alive as long as it takes something.
func TestSlowLineIsAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := NewHub(Config{Logger: slog.New(slog.DiscardHandler), PingInterval: -1, Limits: Limits{MaxSendQueueAge: -1}})
		hub.Allow("g", Anyone)
		hub.Snapshot("g", func(context.Context, SnapshotRequest) (any, error) { return strings.Repeat("x", 900_000), nil })
		ws := pipe(t, hub)
		send(t, ws, loadG)
		line := ws.NetConn()
		start := time.Now()
		for read, buffer := 0, make([]byte, 50_000); read < 900_000; {
			time.Sleep(5 * time.Second) // 10 kB a second
			n, err := line.Read(buffer)
			require.NoError(t, err)
			for filled := n; filled < len(buffer) && read+filled < 900_000; filled += n {
				n, err = line.Read(buffer[filled:])
				require.NoError(t, err)
			}
			read += len(buffer)
		}
		assert.Greater(t, time.Since(start), 80*time.Second, "longer than IdleTimeout and WriteTimeout")
		assert.Equal(t, 1, hub.Stats().Connections)
		assert.Zero(t, hub.Stats().SlowConsumers)
		require.NoError(t, errors.Join(ws.Close(), hub.Shutdown(context.Background())))
	})
}

// Leave tells only a client that has asked for it, and after the messages of the group.
func TestLeaveTellsWhoWantsIt(t *testing.T) {
	hub := quiet(Config{})
	address := serve(t, hub)
	hub.Handle("leave", func(_ context.Context, c *Conn, _ *Request) (any, error) {
		err := hub.Send("g", Message{ID: 7, Type: "last"})
		c.Leave("g")
		c.Leave("g") // it is not a member any more
		return nil, errors.Join(err, hub.Send("g", Message{ID: 8, Type: "too late"}))
	})
	for _, want := range []bool{true, false} {
		ws := dial(t, address)
		if want {
			send(t, ws, `{"id":0,"type":"rohrpost:hello","data":{"version":1,"wants":["unsubscribed"]}}`)
			receive(t, ws)
		}
		send(t, ws, `{"id":1,"type":"subscribe","data":{"group":"g"}}`)
		receive(t, ws)
		send(t, ws, `{"id":2,"type":"leave"}`)
		assert.Equal(t, `{"id":7,"type":"last","group":"g"}`, receive(t, ws))
		if want {
			require.NoError(t, compareFrame(`{"id":{{id}},"type":"subscription-update","data":{"type":"unsubscribed","group":"g","object":{"reason":"left"}}}`, receive(t, ws)))
		}
		assert.Equal(t, `{"id":2,"type":"leave"}`, receive(t, ws))
	}
}
