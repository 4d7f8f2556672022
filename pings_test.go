package rohrpost

import (
	"bytes"
	"context"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Four clients send 1.67 million pings each over sockets and read nothing, to a hub that
// allows it. What waits for each of them is no more than its send queue may hold.
func TestUnreadPongsHoldNoMemory(t *testing.T) {
	const clients, most = 4, 1200 << 10
	pings := 1_670_000
	if underRace() {
		pings /= 10 // each takes ten times as long
	}
	none := Rate{PerSecond: -1}
	hub := quiet(calm(Config{Limits: Limits{ControlFrames: none, InboundBytes: none}}))
	var reached atomic.Int32
	hub.Handle("reached", func(context.Context, *Conn, *Request) (any, error) {
		reached.Add(1)
		return nil, nil
	})
	server := httptest.NewUnstartedServer(hub)
	server.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		assert.NoError(t, c.(*net.TCPConn).SetWriteBuffer(16<<10), "the system takes little, so that the hub has the rest")
		return ctx
	}
	server.Start()
	t.Cleanup(func() {
		assert.NoError(t, hub.Shutdown(context.Background()))
		server.Close()
	})
	before := liveHeap()
	pack := bytes.Repeat(joined(frame{first: fin | pingFrame}), 1000)
	var all [clients]*rawClient
	var sent sync.WaitGroup
	for i := range all {
		all[i] = rawDial(t, "ws"+strings.TrimPrefix(server.URL, "http"))
		sent.Go(func() {
			for range pings / 1000 {
				if _, err := all[i].conn.Write(pack); !assert.NoError(t, err, "the hub closes no connection") {
					return
				}
			}
			_, err := all[i].conn.Write(joined(frame{first: fin | text, payload: []byte(`{"id":1,"type":"reached"}`)}))
			assert.NoError(t, err)
		})
	}
	sent.Wait()
	require.Eventually(t, func() bool { return reached.Load() == clients }, 30*time.Second, 10*time.Millisecond, "the hub has read all")
	assert.Len(t, hub.conns.All(), clients)
	assert.Less(t, liveHeap(), before+clients*most)
}
