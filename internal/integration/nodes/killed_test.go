// Package nodes_test runs an outbox through the brokers on real engines, in several
// processes that are killed.
package nodes_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"flag"
	"fmt"
	mathrand "math/rand/v2"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/outbox"
)

var (
	kills = flag.Int("kills", 2, "how many processes to kill with each broker")
	seed  = flag.Uint64("seed", 0, "seed of the kills; 0: another one each time")
)

// page is a page that counts what it gets.
type page struct {
	mu      sync.Mutex // guards what follows
	told    map[string]int
	last    map[string]int // version of an item
	wrong   []string
	resyncs int
}

// openPage opens a page at a hub, and subscribes to all items.
func openPage(t *testing.T, hub *rohrpost.Hub) *page {
	server := httptest.NewServer(hub)
	t.Cleanup(server.Close)
	conn, _, err := websocket.DefaultDialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(server.URL, "http"), nil)
	require.NoError(t, err)
	p := &page{told: map[string]int{}, last: map[string]int{}}
	subscribed, ended := make(chan struct{}, items), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			_, text, err := conn.ReadMessage()
			if err != nil {
				return
			}
			p.take(text, subscribed)
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-ended
	})
	for id := range items {
		request := fmt.Sprintf(`{"id":%d,"type":"subscribe","data":{"group":"item-%d"}}`, id+1, id+1)
		require.NoError(t, conn.WriteMessage(websocket.TextMessage, []byte(request)))
		<-subscribed
	}
	return p
}

func (p *page) take(text []byte, subscribed chan<- struct{}) {
	var m struct {
		Type string
		Data struct {
			Type, Group string
			Object      json.RawMessage
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch err := json.Unmarshal(text, &m); {
	case err != nil:
		p.wrong = append(p.wrong, string(text))
	case m.Type == "subscribe":
		subscribed <- struct{}{}
	case m.Data.Type == "resync":
		p.resyncs++
	case m.Data.Type == "update":
		var version int
		if json.Unmarshal(m.Data.Object, &version) != nil || version <= p.last[m.Data.Group] {
			p.wrong = append(p.wrong, fmt.Sprintf("%s after version %d", text, p.last[m.Data.Group]))
		}
		p.told[fmt.Sprint(m.Data.Group, " ", version)]++
		p.last[m.Data.Group] = version
	}
}

// verdict is what a page has in comparison with what has committed.
type verdict struct {
	changes, lost, phantoms, resyncs int
	wrong                            []string // messages that came twice, or before an earlier one of their row
}

// compare compares what the page has with the ledger.
func (p *page) compare(ledger []Entry) verdict {
	p.mu.Lock()
	defer p.mu.Unlock()
	v := verdict{changes: len(ledger), wrong: p.wrong, resyncs: p.resyncs}
	committed := map[string]bool{}
	for _, e := range ledger {
		text := fmt.Sprintf("item-%d %d", e.Item, e.Version)
		if committed[text] = true; p.told[text] == 0 {
			v.lost++
		}
	}
	for text := range p.told {
		if !committed[text] {
			v.phantoms++
		}
	}
	return v
}

// Each node writes, relays and publishes through the engine, and may be killed at any time.
// A page at a further node gets each change that has committed once, and those of a row in
// their order.
func TestKilled(t *testing.T) {
	for _, c := range []struct{ broker, database string }{
		{"redis", "PostgreSQL"},
		{"nats", "PostgreSQL"},
		{"sql", "PostgreSQL"},
		{"sql", "PgBouncer"},
		{"sql", "MariaDB READ COMMITTED"},
		{"sql", "MariaDB REPEATABLE READ"},
	} {
		t.Run(c.broker+" "+c.database, func(t *testing.T) {
			v := killed(t, c.broker, c.database, *kills, withOutbox)
			assert.Zero(t, v.lost)
			assert.Zero(t, v.phantoms)
			assert.Zero(t, v.resyncs)
			assert.Empty(t, v.wrong)
		})
	}
}

// The control: without an outbox the same campaign finds lost changes.
func TestKilledWithout(t *testing.T) {
	lost := 0
	for tries := 0; tries < 10 && lost == 0; tries++ {
		lost = killed(t, "redis", "PostgreSQL", 3, withoutOutbox).lost
	}
	assert.Positive(t, lost)
}

// killed lets nodes write, kills some, and at last all of them.
func killed(t *testing.T, name, database string, kills int, role string) verdict {
	db, dsn := newDatabase(t, database)
	address, app := startEngine(t, name, dsn), "t"+strings.ToLower(rand.Text()[:12])
	b, err := openBroker(name, address, app)
	require.NoError(t, err)
	hub := rohrpost.NewHub(rohrpost.Config{Broker: b})
	hub.Allow("{group}", rohrpost.Anyone)
	p := openPage(t, hub)

	s := *seed
	if s == 0 {
		s = mathrand.Uint64()
	}
	t.Logf("-seed %d", s)
	rng := mathrand.New(mathrand.NewPCG(s, 0))
	nodes := make([]*process, 3)
	for i := range nodes {
		nodes[i] = startNode(t, name, address, app, dsn, role)
	}
	for range kills {
		time.Sleep(time.Duration(50+rng.IntN(250)) * time.Millisecond)
		i := rng.IntN(len(nodes))
		if rng.IntN(4) == 0 { // it stands still for a while
			_ = nodes[i].command.Process.Signal(syscall.SIGSTOP)
			time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond)
			_ = nodes[i].command.Process.Signal(syscall.SIGCONT)
			time.Sleep(time.Duration(rng.IntN(50)) * time.Millisecond)
		}
		nodes[i].kill()
		if text := nodes[i].log.String(); text != "" {
			t.Log(text)
		}
		nodes[i] = startNode(t, name, address, app, dsn, role)
	}
	for _, n := range nodes {
		n.kill()
	}
	v := settle(t, p, hub, dsn, role, func() (ledger []Entry) {
		require.NoError(t, db.Find(&ledger).Error)
		return ledger
	})
	t.Logf("%d kills, %d changes: %d lost, %d phantoms, %d twice or misordered, %d resyncs", kills, v.changes, v.lost, v.phantoms, len(v.wrong), v.resyncs)
	assert.Positive(t, v.changes)
	require.NoError(t, hub.Shutdown(t.Context()))
	return v
}

// settle lets a relay publish what is left, and judges.
func settle(t *testing.T, p *page, hub *rohrpost.Hub, dsn, role string, read func() []Entry) verdict {
	patience := 2 * time.Second
	if role == withOutbox {
		patience = time.Minute
		db, err := openDatabase(dsn)
		require.NoError(t, err)
		defer closeDatabase(t, db)
		require.NoError(t, db.Use(rohrpost.Plugin(hub)))
		box, err := outbox.New(db, hub, outbox.Config{})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- box.Run(ctx) }()
		defer func() {
			cancel()
			assert.NoError(t, <-ended)
		}()
	}
	for end := time.Now().Add(patience); time.Now().Before(end) && p.compare(read()).lost > 0; time.Sleep(300 * time.Millisecond) {
	}
	time.Sleep(time.Second) // what comes twice comes now
	return p.compare(read())
}
