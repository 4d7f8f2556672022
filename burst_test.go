package rohrpost

import (
	"bufio"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var burstMessages = flag.Int("burst", 200, "messages of 60 kB that TestBurst publishes at once")

const (
	burstReaders = 50
	burstBytes   = 60_000 // of a message
	burstEnv     = "ROHRPOST_BURST_URL"
)

// TestBurst publishes 12 MB at once to clients in another process that read as fast as they
// can. None of them is closed, whoever else there is, and afterwards the hub keeps no more
// than before.
func TestBurst(t *testing.T) {
	nobody := func(*testing.T, *Hub, string) {}
	for _, test := range []struct {
		name   string
		groups int
		procs  int
		other  func(t *testing.T, hub *Hub, url string)
		slow   uint64
	}{
		{"one group", 1, 1, nobody, 0},
		{"two groups", 2, 1, nobody, 0},
		{"one client does not read", 1, 1, doesNotRead, 1},
		{"one client only pings", 1, 1, onlyPings, 0},
		{"two CPUs and one client that does not read", 1, 2, doesNotRead, 1},
		{"two CPUs and two groups", 2, 2, nobody, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(test.procs))
			hub := quiet(Config{DisableHistory: true})
			url := serve(t, hub)
			readers := startBurstReaders(t, url)
			test.other(t, hub, url)
			before := liveHeap()
			burst(t, hub, test.groups)
			assert.True(t, readers.Scan())
			assert.Equal(t, "all have read everything", readers.Text())
			idle(hub)
			assert.Equal(t, test.slow, hub.Stats().SlowConsumers)
			assert.Less(t, liveHeap(), before+3<<20)
		})
	}
}

// burst hands the hub one payload again and again, faster than it could encode it.
func burst(t *testing.T, hub *Hub, groups int) {
	payload := []byte(`{"x":"` + strings.Repeat("x", burstBytes-20) + `"}`)
	for i := range *burstMessages {
		require.NoError(t, hub.upstream.Signal(broker.Message{Stream: fmt.Sprint("g-", i%groups), Payload: payload}))
	}
}

// doesNotRead adds a client with a small buffer that reads nothing but the reply.
func doesNotRead(t *testing.T, _ *Hub, url string) {
	dialer := websocket.Dialer{NetDial: func(network, address string) (net.Conn, error) {
		conn, err := net.Dial(network, address)
		if err == nil {
			err = conn.(*net.TCPConn).SetReadBuffer(4096)
		}
		return conn, err
	}}
	ws, _, err := dialer.Dial(url, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = ws.Close() })
	send(t, ws, `{"id":1,"type":"subscribe","data":{"group":"g-0"}}`)
	receive(t, ws)
}

// onlyPings adds a client that is in no group and asks as fast as it is answered.
func onlyPings(t *testing.T, _ *Hub, url string) {
	ws := dial(t, url)
	var pinging sync.WaitGroup
	pinging.Go(func() {
		for ws.WriteMessage(websocket.TextMessage, []byte(`{"id":1,"type":"ping"}`)) == nil {
			if _, _, err := ws.ReadMessage(); err != nil {
				return
			}
		}
	})
	t.Cleanup(func() { _ = ws.Close(); pinging.Wait() })
}

// underRace reports whether the race detector is on, which makes code slower and pools
// forgetful.
func underRace() bool {
	info, _ := debug.ReadBuildInfo()
	return slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// liveHeap returns the bytes that are in use after a garbage collection.
func liveHeap() uint64 {
	runtime.GC()
	runtime.GC() // empties pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// startBurstReaders starts the other process, which says so when all have read everything.
func startBurstReaders(t *testing.T, url string) *bufio.Scanner {
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestBurstReaders$", "-burst", fmt.Sprint(*burstMessages))
	command.Env = append(os.Environ(), burstEnv+"="+url)
	command.Stderr = os.Stderr
	output, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	t.Cleanup(func() { _ = command.Wait() })
	lines := bufio.NewScanner(output)
	require.True(t, lines.Scan(), "all have joined")
	return lines
}

// TestBurstReaders runs the clients of TestBurst in another process. They count bytes, which
// is the fastest way to read.
func TestBurstReaders(t *testing.T) {
	url := os.Getenv(burstEnv)
	if url == "" {
		t.Skip("runs in a process that the test starts")
	}
	var reading sync.WaitGroup
	for range burstReaders {
		ws := dial(t, url)
		for g := range 2 {
			send(t, ws, fmt.Sprintf(`{"id":1,"type":"subscribe","data":{"group":"g-%d"}}`, g))
			require.Contains(t, receive(t, ws), `"subscribe"`)
		}
		frame := len(wire.TextFrame(make([]byte, burstBytes-12)))
		reading.Go(func() {
			buffer := make([]byte, 256<<10)
			for left := *burstMessages * frame; left > 0; runtime.Gosched() { // else one keeps the others from reading
				n, err := ws.NetConn().Read(buffer)
				if left -= n; err != nil {
					assert.NoError(t, err, "%d bytes are left", left)
					return
				}
			}
		})
	}
	fmt.Println("all have joined")
	reading.Wait()
	if !t.Failed() {
		fmt.Println("all have read everything")
	}
}
