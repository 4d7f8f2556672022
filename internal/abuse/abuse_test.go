package abuse

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rohrpost/rohrpost"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	duration = flag.Duration("attack", 0, "how long each attack lasts; 0: none is made")
	runs     = flag.Int("runs", 1, "how often each attack is made; the figures are medians")
	pinned   = flag.Bool("pin", false, "run the hub on one processor and the attackers on another one")
	document = flag.Bool("write", false, "write the figures into doc/SECURITY.md")
)

// longest is how long an attack may go on that is to be cut.
const longest = 30 * time.Second

// honest is the number of honest connections, which get 50 messages a second.
const honest = 100

// hub is the hub that is attacked.
type hub struct {
	*rohrpost.Hub
	address              string
	authenticating, slow atomic.Int64
	finish               chan struct{}
	epochs               map[string]string // of the histories of victims
}

func startHub(t *testing.T, a *attack, off bool) *hub {
	h := &hub{finish: make(chan struct{})}
	config := rohrpost.Config{Logger: slog.New(slog.DiscardHandler), Authenticate: h.authenticate}
	config.Limits.TrustedProxies = loopback
	if a.set != nil {
		a.set(&config)
	}
	if off {
		a.off(&config)
	}
	h.Hub = rohrpost.NewHub(config)
	h.Allow("{any}", rohrpost.Anyone)
	h.Allow("secret-{n}", func(context.Context, *rohrpost.Conn, rohrpost.Params) error { return rohrpost.Errorf("no") })
	h.Allow("stuck-{n}", func(context.Context, *rohrpost.Conn, rohrpost.Params) error {
		<-h.finish
		return nil
	})
	h.HandlePublic("fail", func(context.Context, *rohrpost.Conn, *rohrpost.Request) (any, error) { return nil, errors.New("fails") })
	h.HandlePublic("slow", func(context.Context, *rohrpost.Conn, *rohrpost.Request) (any, error) {
		h.slow.Add(1)
		<-h.finish
		return nil, nil
	})
	server := &http.Server{Handler: h.Hub, ReadHeaderTimeout: 500 * time.Millisecond}
	if config.Limits.HandshakeTimeout < 0 {
		server.ReadHeaderTimeout = 0
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	h.address = listener.Addr().String()
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() {
		close(h.finish)
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		assert.NoError(t, h.Shutdown(ctx))
		_ = server.Close()
	})
	return h
}

// authenticate takes long for one client, as long as its request may take.
func (h *hub) authenticate(r *http.Request) (rohrpost.Identity, error) {
	if r.Header.Get("User") == "slow" {
		now := h.authenticating.Add(1)
		defer func() {
			if now <= 8 { // the figure keeps the most
				h.authenticating.Add(-1)
			}
		}()
		select {
		case <-r.Context().Done():
		case <-time.After(300 * time.Millisecond):
		}
		return rohrpost.Identity{}, rohrpost.Errorf("too slow")
	}
	return rohrpost.Identity{ID: r.Header.Get("User")}, nil
}

// clients are the honest ones.
type clients struct {
	mu        sync.Mutex // guards what follows
	latencies []time.Duration
	errs      []error
	done      sync.WaitGroup
	conns     []*websocket.Conn
}

func (c *clients) connect(t *testing.T, h *hub) {
	for i := range honest {
		header := http.Header{"X-Forwarded-For": {fmt.Sprintf("192.0.2.%d", i)}}
		ws, _, err := websocket.DefaultDialer.Dial("ws://"+h.address, header)
		require.NoError(t, err, "an honest client is never refused")
		c.conns = append(c.conns, ws)
		require.NoError(t, ws.WriteMessage(websocket.TextMessage, []byte(`{"id":1,"type":"subscribe","data":{"group":"honest"}}`)))
		c.done.Go(func() { c.read(ws) })
	}
}

func (c *clients) read(ws *websocket.Conn) {
	for {
		_, text, err := ws.ReadMessage()
		var m struct {
			Data struct{ Object struct{ At int64 } }
		}
		if err == nil {
			err = json.Unmarshal(text, &m)
		}
		c.mu.Lock()
		if err != nil {
			c.errs = append(c.errs, err)
			c.mu.Unlock()
			return
		}
		if at := m.Data.Object.At; at != 0 {
			c.latencies = append(c.latencies, time.Since(time.Unix(0, at)))
		}
		c.mu.Unlock()
	}
}

// take returns the latencies since the last call, sorted, and the errors.
func (c *clients) take() ([]time.Duration, []error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := c.latencies
	c.latencies = nil
	slices.Sort(taken)
	return taken, slices.Clone(c.errs)
}

func (c *clients) close() {
	for _, ws := range c.conns {
		_ = ws.Close()
	}
	c.done.Wait()
}

// publish sends 50 messages a second until ctx ends.
func publish(ctx context.Context, h *hub) {
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
			_ = h.Publish(ctx, rohrpost.Change{Group: "honest", Type: rohrpost.Update, Object: map[string]int64{"at": time.Now().UnixNano()}})
		}
	}
}

// result is what an attack has done.
type result struct {
	calm, attacked      []time.Duration
	past                []time.Duration // those of attacked after the cut
	errs                []error
	before, peak, after uint64 // live heap
	rss                 int    // MiB, at the peak
	cut                 time.Duration
	through             int64
	stats               rohrpost.Stats
}

func play(t *testing.T, a *attack, off bool) (r result) {
	h := startHub(t, a, off)
	if a.prepare != nil {
		a.prepare(h, off)
	}
	var c clients
	c.connect(t, h)
	defer c.close()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go publish(ctx, h)
	r.before = liveHeap()
	time.Sleep(*duration / 4)
	r.calm, _ = c.take()

	lasts, mustEnd := *duration, !off && a.closed != ""
	if mustEnd {
		lasts = longest // until the attackers are cut: a loaded machine takes longer
	}
	attacking, end := context.WithTimeout(t.Context(), lasts+longest)
	defer end()
	command := exec.CommandContext(attacking, os.Args[0])
	if *pinned {
		command = exec.CommandContext(attacking, "taskset", "-c", "1", os.Args[0])
	}
	command.Env = append(os.Environ(), attackVariable+"="+a.name, addressVariable+"="+h.address, durationVariable+"="+lasts.String())
	var out strings.Builder
	command.Stdout, command.Stderr = &out, os.Stderr
	began := time.Now()
	require.NoError(t, command.Start())
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	for running := true; running; {
		select {
		case err := <-ended:
			if !mustEnd {
				require.NoError(t, err)
			}
			running = false
		case <-time.After(20 * time.Millisecond):
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			r.peak, r.rss = max(r.peak, m.HeapAlloc), max(r.rss, rss())
			if a.measure != nil {
				r.through = max(r.through, a.measure(h))
			}
			if r.cut == 0 && a.closed != "" && (a.ended(h.Stats().Closed) || a.code != "" && int(h.Stats().Refused[a.code]) >= a.conns) {
				r.cut = time.Since(began)
				r.attacked, _ = c.take()
			}
			if mustEnd && time.Since(began) > *duration && a.ended(h.Stats().Closed) {
				end()
			}
		}
	}
	if mustEnd {
		assert.Eventually(t, func() bool { return a.ended(h.Stats().Closed) }, 10*time.Second, 10*time.Millisecond, "the attackers are cut")
	}
	if a.result != nil {
		r.through = a.result(h)
	}
	r.stats = h.Stats()
	if a.measure == nil && a.result == nil {
		r.through, _ = strconv.ParseInt(strings.TrimSpace(out.String()), 10, 64)
	}
	r.past, r.errs = c.take()
	r.attacked = append(r.attacked, r.past...)
	slices.Sort(r.attacked)
	if r.cut == 0 {
		r.past = nil
	}
	for end := time.Now().Add(10 * time.Second); h.Stats().Connections > honest && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond) // until the hub has seen that the attackers have gone
	}
	r.after = liveHeap()
	return r
}

// ended reports whether the hub has closed the attackers.
func (a *attack) ended(closed map[string]uint64) bool {
	if a.some {
		return closed[a.closed] > 0
	}
	return int(closed[a.closed]) >= a.conns
}

func liveHeap() uint64 {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// rss returns the resident memory of this process in MiB, 0 where the system does not tell.
func rss() int {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(statm))
	pages, _ := strconv.Atoi(fields[1])
	return pages * os.Getpagesize() >> 20
}

// at returns a percentile of sorted latencies.
func at(sorted []time.Duration, percent int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[len(sorted)*percent/100].Round(10 * time.Microsecond)
}

// TestAttacks makes each attack twice, without and with one defence. Latencies are printed
// and not judged: a loaded machine has its own.
func TestAttacks(t *testing.T) {
	if *duration == 0 {
		t.Skip("takes minutes; choose a duration with -attack")
	}
	if *pinned {
		pin(t)
	}
	table := []string{tableHead, "|---|---|---|---|---|---|---|---|---|"}
	fmt.Println(strings.Join(table, "\n"))
	add := func(row string) {
		fmt.Println(row)
		table = append(table, row)
	}
	for i := range attacks {
		a := &attacks[i]
		t.Run(a.name, func(t *testing.T) {
			if a.off != nil {
				add(a.playAll(t, true))
			}
			add(a.playAll(t, false))
		})
	}
	if *document && !t.Failed() {
		require.Greater(t, len(table), len(attacks), "all attacks are made")
		writeTable(t, table)
	}
}

// playAll makes the attack *runs times. It returns the row of the table.
func (a *attack) playAll(t *testing.T, off bool) string {
	var all []figures
	for range *runs {
		r := play(t, a, off)
		if off {
			r.judgeWithout(t, a)
		} else {
			r.judge(t, a)
		}
		all = append(all, r.figures())
	}
	defence := "on"
	if off {
		defence = "off"
	}
	return medians(all).row(a, defence)
}

func (r *result) judgeWithout(t *testing.T, a *attack) {
	if a.counts {
		assert.Greater(t, r.through, a.most, "without the defence the attack goes through")
		return
	}
	assert.Zero(t, r.stats.Refused[a.code], "the defence is off")
	assert.Zero(t, r.stats.Closed[a.closed], "nothing else stops the attack")
}

func (r *result) judge(t *testing.T, a *attack) {
	assert.Empty(t, r.errs, "no honest connection ends")
	assert.NotEmpty(t, r.attacked, "honest connections are served")
	if a.code != "" {
		assert.Positive(t, r.stats.Refused[a.code])
	}
	if a.counts {
		assert.LessOrEqual(t, r.through, a.most)
	}
	assert.LessOrEqual(t, r.after, r.before+32<<20, "what the attack needed is let go, but for histories that are kept unused")
}
