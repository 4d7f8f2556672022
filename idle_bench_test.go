package rohrpost

import (
	"fmt"
	"net/http/httptest"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

const idleEnv = "ROHRPOST_IDLE_URL"

// BenchmarkIdle opens 10,000 connections from another process and reports the memory
// of an idle connection: resident memory, heap and stack after a garbage collection.
// Then each connection joins 100 groups, and the benchmark reports the memory of a
// membership.
//
//	go test -run '^$' -bench '^BenchmarkIdle$' -benchtime 1x .
func BenchmarkIdle(b *testing.B) {
	const connections, groups = 10_000, 100
	hub := NewHub(Config{PingInterval: -1, Limits: Limits{MaxConnections: -1, IdleTimeout: -1}})
	server := httptest.NewServer(hub)
	defer server.Close()
	before := measure()
	clients := otherProcess(b, "TestIdleClients", idleEnv, server.URL)
	require.NoError(b, clients.Start())
	for hub.Stats().Connections < connections {
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(time.Second)
	idle := measure()
	for i, c := range hub.conns.All() {
		for g := range groups {
			require.NoError(b, c.Join(fmt.Sprint("group-", (i+g*97)%10_000)))
		}
	}
	joined := measure()
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(idle.resident-before.resident)/connections, "resident-B/conn")
	b.ReportMetric(float64(idle.heap-before.heap)/connections, "heap-B/conn")
	b.ReportMetric(float64(idle.stack-before.stack)/connections, "stack-B/conn")
	b.ReportMetric(float64(joined.heap-idle.heap)/connections/groups, "heap-B/membership")
	b.ReportMetric(float64(joined.resident-idle.resident)/connections/groups, "resident-B/membership")
	for range b.N { // the measurement above runs only once
	}
	_ = clients.Process.Kill()
	_ = clients.Wait()
}

type memory struct{ resident, heap, stack int64 }

func measure() memory {
	for range 3 {
		runtime.GC()
	}
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	status, _ := os.ReadFile("/proc/self/status")
	var resident int64
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "VmRSS:") {
			_, _ = fmt.Sscanf(line, "VmRSS: %d kB", &resident)
		}
	}
	return memory{resident << 10, int64(m.HeapAlloc), int64(m.StackInuse)}
}

// TestIdleClients opens the connections of BenchmarkIdle in another process.
func TestIdleClients(t *testing.T) {
	url := os.Getenv(idleEnv)
	if url == "" {
		t.Skip("runs in a process that the benchmark starts")
	}
	var open []*websocket.Conn
	dialer := websocket.Dialer{ReadBufferSize: 256, WriteBufferSize: 256}
	for range 10_000 {
		ws, _, err := dialer.Dial(url, nil)
		require.NoError(t, err)
		open = append(open, ws)
	}
	time.Sleep(time.Hour)
	runtime.KeepAlive(open)
}
