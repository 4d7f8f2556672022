package rohrpost

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A page that does all that honest pages do meets no default limit: it subscribes to 128
// groups at once with a token of 4 kB, sends its cursor 30 times a second with one of 2 kB,
// and sends heartbeats.
func TestHonestPageMeetsNoLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := quiet(Config{})
		hub.Handle("cursor", func(context.Context, *Conn, *Request) (any, error) { return nil, nil })
		token := func(bytes int) string { return `"auth_jwt":"` + strings.Repeat("x", bytes) + `"` }
		for range 3 { // it comes again after a while
			ws := pipe(t, hub)
			replies := make(chan string, 10_000)
			go func() {
				defer close(replies)
				for {
					_, text, err := ws.ReadMessage()
					if err != nil {
						return
					}
					replies <- string(text)
				}
			}()
			for i := range 128 {
				send(t, ws, fmt.Sprintf(`{"id":%d,"type":"subscribe",%s,"data":{"group":"g-%d"}}`, i, token(4000), i))
			}
			for range 128 {
				assert.NotContains(t, <-replies, "error")
			}
			for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(time.Second / 30) {
				send(t, ws, fmt.Sprintf(`{"id":1,"type":"cursor",%s,"data":{"x":1}}`, token(2000)))
				assert.NotContains(t, <-replies, "error")
				send(t, ws, `{"id":2,"type":"rohrpost:heartbeat"}`)
				<-replies
			}
			assert.Equal(t, 1, hub.Stats().Connections)
			require.NoError(t, ws.Close())
			synctest.Wait()
		}
		assert.Empty(t, hub.Stats().Refused)
		assert.Zero(t, hub.Stats().SlowConsumers)
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}

// Twenty tabs of a user, and two thousand pages behind one proxy that all come again at
// once, find their places.
func TestHonestHerdMeetsNoLimit(t *testing.T) {
	if testing.Short() {
		t.Skip("opens 2,000 connections")
	}
	hub := quiet(Config{Authenticate: func(r *http.Request) (Identity, error) { return Identity{ID: r.Header.Get("User")}, nil }})
	address := serve(t, hub)
	const pages, tabs = 2000, 20
	var mu sync.Mutex
	var conns []*websocket.Conn
	var all sync.WaitGroup
	for i := range pages {
		all.Go(func() {
			dialer := websocket.Dialer{HandshakeTimeout: time.Minute}
			ws, response, err := dialer.Dial(address, http.Header{"User": {fmt.Sprint("user-", i/tabs)}, "X-Forwarded-For": {"203.0.113.1"}})
			if !assert.NoError(t, err) {
				if response != nil {
					t.Log(response.Status)
				}
				return
			}
			mu.Lock()
			conns = append(conns, ws)
			mu.Unlock()
			assert.NoError(t, ws.WriteMessage(websocket.TextMessage, []byte(`{"id":1,"type":"subscribe","data":{"group":"g"}}`)))
			_, text, err := ws.ReadMessage()
			assert.NoError(t, err)
			assert.True(t, json.Valid(text))
			assert.NotContains(t, string(text), "error")
		})
	}
	all.Wait()
	assert.Empty(t, hub.Stats().Refused)
	assert.Empty(t, hub.Stats().Closed)
	assert.Equal(t, pages, hub.Stats().Memberships)
	for _, ws := range conns {
		_ = ws.Close()
	}
}
