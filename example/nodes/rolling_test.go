package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	rollingPages  = flag.Int("pages", 200, "the number of pages during the rolling restarts")
	rollingRounds = flag.Int("rounds", 2, "the number of rolling restarts")
)

// TestRollingRestart restarts one instance after the other while pages follow the tasks and
// tasks are written. No write fails, and no page misses a task or gets one twice.
func TestRollingRestart(t *testing.T) {
	n := startNodes(t, build(t), "sql")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var running sync.WaitGroup
	pages := make([]*following, *rollingPages)
	for i := range pages {
		pages[i] = &following{address: n.address}
		running.Go(func() { pages[i].run(ctx) })
	}
	require.Eventually(t, func() bool { return all(pages, func(p *following) bool { return p.has(0) }) }, time.Minute, 50*time.Millisecond)
	writing, stopWriting := context.WithCancel(ctx)
	var written atomic.Int64
	var writer sync.WaitGroup
	writer.Go(func() {
		for ; writing.Err() == nil; time.Sleep(20 * time.Millisecond) {
			if assert.NoError(t, post(n.address, fmt.Sprint("task ", written.Load())), "a write fails") {
				written.Add(1)
			}
		}
	})
	for range *rollingRounds {
		for i := range 2 {
			time.Sleep(time.Second)
			before := n.process(i)
			require.NoError(t, syscall.Kill(before, syscall.SIGTERM))
			require.Eventually(t, func() bool { return n.process(i) != before && n.answers(i) }, 30*time.Second, 20*time.Millisecond, "it is back")
		}
	}
	stopWriting()
	writer.Wait()
	count := int(written.Load())
	assert.Eventually(t, func() bool { return all(pages, func(p *following) bool { return p.has(count) }) }, time.Minute, 100*time.Millisecond,
		"all pages have all tasks")
	for i, p := range pages {
		if !p.has(count) {
			t.Logf("page %d: %s", i, p)
		}
	}
	stop()
	running.Wait()
	var twice, replays, snapshots int
	for _, p := range pages {
		twice, replays, snapshots = twice+p.twice, replays+p.replays, snapshots+p.snapshots
	}
	assert.Zero(t, twice, "tasks that came twice")
	t.Logf("%d writes, %d pages, %d restarts: %d replays, %d snapshots", count, len(pages), 2**rollingRounds, replays, snapshots)
}

func all(pages []*following, is func(p *following) bool) bool {
	return !slices.ContainsFunc(pages, func(p *following) bool { return !is(p) })
}

// post writes a task, once.
func post(address, title string) error {
	body, err := json.Marshal(map[string]string{"title": title})
	if err != nil {
		return err
	}
	answer, err := http.Post("http://"+address+"/tasks", "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if text, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d: %s", answer.StatusCode, text)
	}
	return nil
}

// following is a page that follows the tasks, and connects again.
type following struct {
	address string

	mu                        sync.Mutex // guards what follows
	loaded, connected         bool
	tasks                     map[int]bool // by id
	came                      map[int]bool // as messages
	epoch                     string
	offset                    int64
	twice, replays, snapshots int
}

func (p *following) run(ctx context.Context) {
	for ctx.Err() == nil {
		p.connect(ctx)
		select {
		case <-time.After(50*time.Millisecond + rand.N(400*time.Millisecond)):
		case <-ctx.Done():
		}
	}
}

// connect follows until the connection ends.
func (p *following) connect(ctx context.Context) {
	ws, _, err := websocket.DefaultDialer.DialContext(ctx, "ws://"+p.address+"/ws/rohrpost/", nil)
	if err != nil {
		return
	}
	defer func() { _ = ws.Close() }()
	defer context.AfterFunc(ctx, func() { _ = ws.Close() })()
	if p.subscribe(ws, true) != nil {
		return
	}
	p.setConnected(true)
	defer p.setConnected(false)
	for {
		var m message
		if ws.ReadJSON(&m) != nil || m.Error != nil || p.take(m) && p.subscribe(ws, false) != nil {
			return
		}
	}
}

func (p *following) setConnected(connected bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.connected = connected
}

func (p *following) subscribe(ws *websocket.Conn, resume bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	data := map[string]any{"group": "tasks", "snapshot": true}
	if resume && p.loaded {
		data["since"] = map[string]any{"epoch": p.epoch, "offset": p.offset}
	}
	return ws.WriteJSON(map[string]any{"id": 1, "type": "subscribe", "data": data})
}

// message is what the hub sends.
type message struct {
	Type  string
	Error any // of a request; the hub may be too busy
	Data  struct {
		Type, Epoch string
		Offset      int64
		Recovered   bool
		Missed      int
		Object      struct{ ID int }
		Snapshot    []struct{ ID int }
	}
}

// take takes a message. It reports whether the page must load its snapshot again.
func (p *following) take(m message) (reload bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case m.Type == "subscribe" && m.Data.Recovered:
		p.replays++
	case m.Type == "subscribe":
		p.snapshots++
		p.loaded, p.epoch, p.offset = true, m.Data.Epoch, m.Data.Offset
		p.tasks, p.came = map[int]bool{}, map[int]bool{}
		for _, task := range m.Data.Snapshot {
			p.tasks[task.ID] = true
		}
	case m.Type == "subscription-update" && m.Data.Type == "resync":
		return true
	case m.Type == "subscription-update":
		id := m.Data.Object.ID
		if p.came[id] {
			p.twice++
		}
		p.tasks[id], p.came[id], p.offset = true, true, m.Data.Offset
	}
	return false
}

// String describes what the page has.
func (p *following) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Sprintf("loaded %t, %d tasks, at %s %d, connected %t", p.loaded, len(p.tasks), p.epoch, p.offset, p.connected)
}

// has reports whether the page has the tasks 1 to count, and no other.
func (p *following) has(count int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	ids := slices.Sorted(maps.Keys(p.tasks))
	return p.loaded && len(ids) == count && (count == 0 || ids[count-1] == count)
}
