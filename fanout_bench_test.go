package rohrpost

import (
	"bufio"
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

const (
	fanoutMembers = 1000
	fanoutBatch   = 32 // messages per report of the members
	fanoutEnv     = "ROHRPOST_FANOUT_URL"
)

// BenchmarkFanout publishes changes to one group of 1,000 members on real sockets,
// with at most 64 changes in flight. The members run in another process. It reports
// deliveries per second and this process's CPU time per delivery, with a history, without
// one, and where the members have three views, with one object for all and with an object
// for each.
//
//	go test -run '^$' -bench '^BenchmarkFanout$' -benchtime 200x -count 5 .
func BenchmarkFanout(b *testing.B) {
	allow := func(h *Hub) { h.Allow("all", Anyone) }
	b.Run("history", func(b *testing.B) { benchmarkFanout(b, Config{}, allow, "") })
	b.Run("none", func(b *testing.B) { benchmarkFanout(b, Config{DisableHistory: true}, allow, "") })
	views := []string{"staff", "editor", "guest"}
	var next atomic.Int64
	allow = func(h *Hub) {
		h.AllowViews("all", views, func(context.Context, *Conn, Params) (string, error) { return views[next.Add(1)%3], nil })
	}
	b.Run("views", func(b *testing.B) { benchmarkFanout(b, Config{}, allow, "") })
	b.Run("an object for each view", func(b *testing.B) { benchmarkFanout(b, Config{}, allow, views...) })
}

// benchmarkFanout publishes one change for each of the views.
func benchmarkFanout(b *testing.B, config Config, allow func(*Hub), views ...string) {
	hub := NewHub(config)
	allow(hub)
	server := httptest.NewServer(hub)
	defer server.Close()
	members := otherProcess(b, "TestFanoutMembers", fanoutEnv, server.URL)
	output, err := members.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, members.Start())
	reports := bufio.NewScanner(output)
	require.True(b, reports.Scan(), "the members have joined")

	title := strings.Repeat("x", 80)
	change := Change{Group: "all", Type: Update, Object: map[string]any{"id": 7, "title": title}, UpdatedFields: []string{"title"}}
	messages, onTheWay := 0, 0
	start, cpu := time.Now(), cpuTime()
	for b.Loop() {
		for range fanoutBatch {
			for _, change.View = range views {
				require.NoError(b, hub.Publish(context.Background(), change))
			}
		}
		messages += fanoutBatch
		if onTheWay++; onTheWay == 2 {
			require.True(b, reports.Scan())
			onTheWay--
		}
	}
	for range onTheWay {
		require.True(b, reports.Scan())
	}
	elapsed, used := time.Since(start), cpuTime()-cpu
	deliveries := float64(messages * fanoutMembers)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(deliveries/elapsed.Seconds(), "deliveries/s")
	b.ReportMetric(float64(used.Nanoseconds())/1000/deliveries, "CPU-µs/delivery")
	require.NoError(b, hub.Shutdown(context.Background()))
	_ = members.Wait()
}

// otherProcess returns a command that runs one test of this package. The environment
// variable tells it the URL of the hub.
func otherProcess(b *testing.B, test, variable, url string) *exec.Cmd {
	command := exec.CommandContext(b.Context(), os.Args[0], "-test.run", "^"+test+"$")
	command.Env = append(os.Environ(), variable+"=ws"+strings.TrimPrefix(url, "http"))
	command.Stderr = os.Stderr
	return command
}

// TestFanoutMembers runs the members of BenchmarkFanout in another process.
func TestFanoutMembers(t *testing.T) {
	url := os.Getenv(fanoutEnv)
	if url == "" {
		t.Skip("runs in a process that the benchmark starts")
	}
	var received atomic.Int64
	var done sync.WaitGroup
	for range fanoutMembers {
		ws, _, err := websocket.DefaultDialer.Dial(url, nil)
		require.NoError(t, err)
		require.NoError(t, ws.WriteMessage(websocket.TextMessage, []byte(`{"id":1,"type":"subscribe","data":{"group":"all"}}`)))
		_, _, err = ws.ReadMessage()
		require.NoError(t, err)
		done.Go(func() {
			defer func() { _ = ws.Close() }()
			for {
				if _, _, err := ws.NextReader(); err != nil {
					return
				}
				if received.Add(1)%(fanoutBatch*fanoutMembers) == 0 {
					fmt.Println("a batch has arrived")
				}
			}
		})
	}
	fmt.Println("all members have joined")
	done.Wait()
}
