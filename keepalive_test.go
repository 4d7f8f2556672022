package rohrpost

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestServerPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := quiet(Config{})
		ws := pipe(t, hub)
		start := time.Now()
		var pings []time.Duration
		ws.SetPingHandler(func(data string) error {
			pings = append(pings, time.Since(start))
			return ws.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(time.Second))
		})
		go func() { time.Sleep(10 * time.Minute); _ = hub.Shutdown(context.Background()) }()
		assert.Equal(t, websocket.CloseServiceRestart, closeCode(ws))
		assert.Equal(t, 10*time.Minute, time.Since(start), "a connection that answers stays open")
		require.Greater(t, len(pings), 20)
		assert.Equal(t, 25*time.Second, pings[0])
		assert.Equal(t, 25*time.Second, pings[1]-pings[0])
	})
}

func TestDeadConnectionIsAborted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := quiet(Config{})
		ws := pipe(t, hub)
		join(t, ws, "g")
		ws.SetPingHandler(func(string) error { return nil }) // the client reads, but does not answer
		start := time.Now()
		_ = closeCode(ws)
		assert.Equal(t, 60*time.Second, time.Since(start))
		synctest.Wait()
		assert.Zero(t, hub.Stats().Memberships, "the connection has left its groups at once")
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}

// rohrpost-js answers the pings of WebSocket too, but JSON pings alone are enough.
func TestJSONPingsKeepAConnectionOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := quiet(Config{})
		ws := pipe(t, hub)
		ws.SetPingHandler(func(string) error { return nil })
		for range 60 {
			time.Sleep(5 * time.Second)
			send(t, ws, `{"type":"ping","id":1700000000000}`)
			require.Equal(t, `{"id":1700000000000,"type":"pong"}`, receive(t, ws))
		}
		assert.Equal(t, 1, hub.Stats().Connections)
		go func() { _ = closeCode(ws) }()
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}

// The timeout counts from the last frame, or from one that came up to a 64th of it earlier.
func TestIdleTimeoutIsExactToA64th(t *testing.T) {
	for _, last := range []time.Duration{0, 500 * time.Millisecond, time.Second, 30*time.Second + time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			hub := quiet(Config{PingInterval: -1})
			ws := pipe(t, hub)
			time.Sleep(last)
			send(t, ws, `{"id":1,"type":"ping"}`)
			start := time.Now()
			_ = closeCode(ws)
			assert.LessOrEqual(t, time.Since(start), time.Minute)
			assert.Greater(t, time.Since(start), time.Minute-time.Minute/64)
			require.NoError(t, hub.Shutdown(context.Background()))
		})
	}
}
