package rohrpost

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReservedNames(t *testing.T) {
	hub := NewHub(Config{})
	for _, name := range []string{"rohrpost:hello", "rohrpost:heartbeat", "rohrpost:", "rohrpost:mine"} {
		assert.Panics(t, func() { hub.Handle(name, hello) }, name)
		assert.Panics(t, func() { hub.Handle("alias", hello, name) }, name)
	}
	assert.NotPanics(t, func() { hub.Handle("alias", hello) }, "a refused alias registers nothing")
	assert.NotPanics(t, func() { hub.Handle("hello", hello, "heartbeat", "rohrpost") })
}

func TestHelloNamesLimitsAndExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := quiet(Config{
			PingInterval: -1,
			Limits:       Limits{MaxMessageBytes: -1, MaxGroups: 7, MaxDepth: -1, IdleTimeout: -1},
			Authenticate: func(*http.Request) (Identity, error) {
				return Identity{Expires: time.Now().Add(time.Hour)}, nil
			},
		})
		ws := pipe(t, hub)
		time.Sleep(59*time.Second + 760*time.Millisecond)
		send(t, ws, `{"id":1,"type":"rohrpost:hello","data":{"version":1,"token":"t","page":"p","wants":[]}}`)
		first := receive(t, ws)
		require.NoError(t, compareFrame(`{"id":1,"type":"rohrpost:hello","data":{"version":1,"connection":"{{connection}}","limits":{"max_groups":7},"expires_in":3540.2}}`, first))
		send(t, ws, `{"id":1,"type":"rohrpost:hello","data":{"version":1}}`)
		assert.Equal(t, first, receive(t, ws), "a connection keeps its id")
		go func() { _ = closeCode(ws) }()
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}

func TestHelloSaysWhereTheHubAnswers(t *testing.T) {
	hub := quiet(Config{})
	mux := http.NewServeMux()
	mux.Handle("/exact", hub)
	mux.Handle("GET /ws/", hub)
	mux.Handle("/prefix/{tenant}/", http.StripPrefix("/prefix", hub))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	t.Cleanup(func() { require.NoError(t, hub.Shutdown(context.Background())) })
	for path, subtree := range map[string]bool{"/exact": false, "/ws/": true, "/ws/1a2b": true, "/prefix/7/": true} {
		ws := dial(t, "ws"+strings.TrimPrefix(server.URL, "http")+path)
		send(t, ws, `{"id":1,"type":"rohrpost:hello","data":{"version":1}}`)
		assert.Equal(t, subtree, strings.Contains(receive(t, ws), `"subtree":true`), path)
		require.NoError(t, ws.Close())
	}
}

func TestHeartbeatIsAheadOfTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := quiet(Config{})
		hub.Handle("sleep", func(context.Context, *Conn, *Request) (any, error) {
			time.Sleep(20 * time.Second)
			return nil, nil
		})
		ws := pipe(t, hub)
		start := time.Now()
		send(t, ws, `{"id":1,"type":"sleep"}`)
		send(t, ws, `{"id":2,"type":"ping"}`)
		send(t, ws, `{"id":3,"type":"rohrpost:heartbeat"}`)
		send(t, ws, `{ "type" : "rohrpost:heartbeat" , "id" : "x" , "more": [1] }`)
		assert.Equal(t, `{"id":3,"type":"rohrpost:heartbeat"}`, receive(t, ws))
		assert.Equal(t, `{"id":"x","type":"rohrpost:heartbeat"}`, receive(t, ws))
		assert.Zero(t, time.Since(start))
		assert.Equal(t, `{"id":1,"type":"sleep"}`, receive(t, ws))
		assert.Equal(t, `{"id":2,"type":"pong"}`, receive(t, ws))
		assert.Equal(t, 20*time.Second, time.Since(start))
		go func() { _ = closeCode(ws) }()
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}

// The hub answers other messages than a heartbeat in the order of requests.
func TestUnusualHeartbeats(t *testing.T) {
	ws := dial(t, serve(t, quiet(Config{})))
	for text, want := range map[string]string{
		`{"id":1,"type":"rohrpos\u0074:heartbeat"}`:                                               `{"id":1,"type":"rohrpos\u0074:heartbeat"}`,
		`{"id":1,"type":"rohrpost:heartbeat","data":"` + strings.Repeat("x", maxHeartbeat) + `"}`: `{"id":1,"type":"rohrpost:heartbeat"}`,
		`{"id":1,"type":"ping","data":"rohrpost:heartbeat"}`:                                      `{"id":1,"type":"pong","data":"rohrpost:heartbeat"}`,
		`{"type":"rohrpost:heartbeat"}`:                                                           `{"error":"Missing required field 'id'.","error_info":{"code":"malformed","temporary":false}}`,
	} {
		send(t, ws, text)
		assert.Equal(t, want, receive(t, ws))
	}
}
