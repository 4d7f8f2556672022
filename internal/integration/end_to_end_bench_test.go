package integration

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/internal/writetest"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

const (
	readers    = 1000
	readersEnv = "ROHRPOST_READERS_URL"
)

// BenchmarkEndToEnd updates one row in a transaction and waits until 1,000
// connections, which live in a process of their own, have read the change: where
// the time goes, as medians and 99th percentiles in microseconds.
//
//	go test -run '^$' -bench '^BenchmarkEndToEnd$' -benchtime 1000x .
func BenchmarkEndToEnd(b *testing.B) {
	durable := writetest.Engine{Name: "SQLite, durable", Open: func(tb testing.TB, config gorm.Config) *gorm.DB {
		return writetest.Connect(tb, sqlite.Open(filepath.Join(tb.TempDir(), "test.db")), config)
	}}
	for _, e := range append([]writetest.Engine{durable}, engines...) {
		b.Run(e.Name, func(b *testing.B) {
			bare, with := e.Open(b, gorm.Config{}), e.Open(b, gorm.Config{})
			hub := rohrpost.NewHub(rohrpost.Config{})
			hub.Allow("keyed-{id}", rohrpost.Anyone)
			clock := new(time.Time)
			with.ConnPool = &clockPool{with.ConnPool.(*sql.DB), clock}
			with.Statement.ConnPool = with.ConnPool
			require.NoError(b, with.Use(rohrpost.Plugin(hub)))
			fill(b, bare, &keyed{}, 1)
			fill(b, with, &keyed{}, 1)
			server := httptest.NewServer(hub)
			defer server.Close()
			arrivals := startReaders(b, server.URL)
			benchmarkEndToEnd(b, bare, with, clock, arrivals)
			require.NoError(b, hub.Shutdown(context.Background()))
		})
	}
}

// clockPool begins transactions that note when their COMMIT has returned.
type clockPool struct {
	*sql.DB
	committed *time.Time
}

// BeginTx implements gorm.ConnPoolBeginner.
func (p *clockPool) BeginTx(ctx context.Context, options *sql.TxOptions) (gorm.ConnPool, error) {
	tx, err := p.DB.BeginTx(ctx, options)
	return &clockTx{tx, p.committed}, err
}

// GetDBConn implements gorm.GetDBConnector.
func (p *clockPool) GetDBConn() (*sql.DB, error) { return p.DB, nil }

type clockTx struct {
	*sql.Tx
	committed *time.Time
}

// Commit implements gorm.TxCommitter.
func (tx *clockTx) Commit() error {
	err := tx.Tx.Commit()
	*tx.committed = time.Now()
	return err
}

// benchmarkEndToEnd notes for each update: bare, its transaction without us; then
// with us until COMMIT has returned, until the frames are handed over, and from
// COMMIT until the first and the last connection have read it.
func benchmarkEndToEnd(b *testing.B, bare, with *gorm.DB, clock *time.Time, arrivals *bufio.Scanner) {
	parts := map[string][]time.Duration{}
	note := func(part string, d time.Duration) { parts[part] = append(parts[part], d) }
	update := func(db *gorm.DB, title string) error {
		return db.Model(&keyed{ID: 1}).Update("title", title).Error
	}
	round := 0
	for b.Loop() {
		round++
		title := fmt.Sprint("title ", round)
		began := time.Now()
		require.NoError(b, bare.Transaction(func(tx *gorm.DB) error { return update(tx, title) }))
		note("1-bare", time.Since(began))

		var handed time.Time
		began = time.Now()
		require.NoError(b, with.Transaction(func(tx *gorm.DB) error {
			return errors.Join(
				update(tx, title),
				rohrpost.AfterCommit(tx, func() { handed = time.Now() }),
			)
		}))
		committed := *clock
		require.True(b, arrivals.Scan())
		var first, last int64
		_, err := fmt.Sscan(arrivals.Text(), &first, &last)
		require.NoError(b, err)
		note("2-commit", committed.Sub(began))
		note("3-hand-over", handed.Sub(committed))
		note("4-first", time.Unix(0, first).Sub(committed))
		note("5-last", time.Unix(0, last).Sub(committed))
	}
	b.ReportMetric(0, "ns/op")
	for part, took := range parts {
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1e3, part+"-p50-µs")
		b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1e3, part+"-p99-µs")
	}
}

// startReaders starts the other process, and returns what it reports: when the
// first and the last connection have read each message.
func startReaders(b *testing.B, url string) *bufio.Scanner {
	command := exec.CommandContext(b.Context(), os.Args[0], "-test.run", "^TestReaders$")
	command.Env = append(os.Environ(), readersEnv+"=ws"+strings.TrimPrefix(url, "http"))
	command.Stderr = os.Stderr
	output, err := command.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, command.Start())
	b.Cleanup(func() { _ = command.Wait() })
	reports := bufio.NewScanner(output)
	require.True(b, reports.Scan(), "all have joined")
	return reports
}

// TestReaders is the other process of BenchmarkEndToEnd.
func TestReaders(t *testing.T) {
	url := os.Getenv(readersEnv)
	if url == "" {
		t.Skip("runs in a process that the benchmark starts")
	}
	var received, first atomic.Int64
	var done sync.WaitGroup
	for range readers {
		ws, _, err := websocket.DefaultDialer.Dial(url, nil)
		require.NoError(t, err)
		require.NoError(t, ws.WriteMessage(websocket.TextMessage, []byte(`{"id":1,"type":"subscribe","data":{"type":"keyed","id":1}}`)))
		_, _, err = ws.ReadMessage()
		require.NoError(t, err)
		done.Go(func() {
			defer func() { _ = ws.Close() }()
			for {
				if _, _, err := ws.NextReader(); err != nil {
					return
				}
				now := time.Now().UnixNano()
				switch received.Add(1) % readers {
				case 1:
					first.Store(now)
				case 0:
					fmt.Println(first.Load(), now)
				}
			}
		})
	}
	fmt.Println("all have joined")
	done.Wait()
}
