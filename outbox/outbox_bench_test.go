package outbox

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/broker"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

// naiveItem is an item whose changes go into an outbox as many programs have one: a hook
// stores a row for each change.
type naiveItem struct {
	ID      uint
	Version int
}

// naiveRow is a row of that outbox.
type naiveRow struct {
	ID      uint
	Payload []byte
}

// AfterUpdate is a hook of GORM.
func (i *naiveItem) AfterUpdate(tx *gorm.DB) error {
	payload, err := json.Marshal(map[string]any{"type": "update", "group": fmt.Sprint("item-", i.ID), "object": i.ID, "updated_fields": []string{"version"}})
	if err != nil {
		return err
	}
	return tx.Create(&naiveRow{Payload: payload}).Error
}

// keyed is an item for which the plugin reads nothing.
type keyed struct {
	rohrpost.NotifyOnChange
	ID      uint
	Version int
}

// way is one of the ways of writing that are compared.
type way struct {
	name  string
	db    *gorm.DB
	model func(id uint) any
}

// waysOf opens a database for each way: without any of it, with the plugin, with an outbox,
// and with the naive one.
func waysOf(b *testing.B, e engine) []way {
	var ways []way
	for _, name := range []string{"bare", "plugin", "outbox", "naive"} {
		db, err := open(e.name, durable(e.create(b)), gorm.Config{})
		require.NoError(b, err)
		pool, err := db.DB()
		require.NoError(b, err)
		b.Cleanup(func() { _ = pool.Close() })
		w := way{name, db, func(id uint) any { return &keyed{ID: id} }}
		require.NoError(b, db.AutoMigrate(&keyed{}, &naiveItem{}, &naiveRow{}))
		for id := range uint(64) {
			require.NoError(b, db.Create(&keyed{ID: id + 1}).Error)
			require.NoError(b, db.Create(&naiveItem{ID: id + 1}).Error)
		}
		hub := rohrpost.NewHub(rohrpost.Config{Logger: slog.New(slog.DiscardHandler)})
		switch name {
		case "plugin", "outbox":
			require.NoError(b, db.Use(rohrpost.Plugin(hub)))
			if name == "outbox" {
				_, err = New(db, hub, Config{})
				require.NoError(b, err)
			}
		case "naive":
			w.model = func(id uint) any { return &naiveItem{ID: id} }
		}
		ways = append(ways, w)
	}
	return ways
}

// durable makes SQLite write to the disk at each COMMIT, as the other databases do.
func durable(dsn string) string {
	return strings.Replace(dsn, "_synchronous=OFF", "_synchronous=FULL", 1)
}

// BenchmarkCommit measures what an outbox adds to a transaction, in pairs: each writer does
// the same by each way in turn. No relay runs.
func BenchmarkCommit(b *testing.B) {
	for _, e := range engines {
		for _, statements := range []int{1, 5} {
			for _, writers := range []int{1, 8} {
				b.Run(fmt.Sprintf("%s/%d-statements/%d-writers", e.name, statements, writers), func(b *testing.B) {
					benchmarkCommit(b, waysOf(b, e), statements, writers)
				})
			}
		}
	}
}

func benchmarkCommit(b *testing.B, ways []way, statements, writers int) {
	var mu sync.Mutex
	took := make([][]time.Duration, len(ways))
	var added []time.Duration
	var group sync.WaitGroup
	b.ResetTimer()
	for w := range writers {
		group.Go(func() {
			for range b.N {
				var one [8]time.Duration
				for i, way := range ways {
					began := time.Now()
					err := way.db.Transaction(func(tx *gorm.DB) error {
						for s := range statements {
							id := uint(1 + w*statements + s)
							if err := tx.Model(way.model(id)).Update("version", gorm.Expr("version + 1")).Error; err != nil {
								return err
							}
						}
						return nil
					})
					if one[i] = time.Since(began); err != nil {
						b.Error(err)
						return
					}
				}
				mu.Lock()
				for i := range ways {
					took[i] = append(took[i], one[i])
				}
				added = append(added, one[2]-one[1])
				mu.Unlock()
			}
		})
	}
	group.Wait()
	b.ReportMetric(0, "ns/op")
	for i, way := range ways {
		b.ReportMetric(micros(took[i], 50), way.name+"-p50-µs")
	}
	b.ReportMetric(micros(added, 50), "added-p50-µs")
}

func micros(took []time.Duration, percent int) float64 {
	slices.Sort(took)
	return float64(took[len(took)*percent/100].Nanoseconds()) / 1e3
}

// BenchmarkThroughput compares the commits a second of eight writers, of one statement each.
// Nothing reads what is stored. Short runs of the ways take turns.
func BenchmarkThroughput(b *testing.B) {
	const writers, commits = 8, 40
	for _, e := range engines {
		b.Run(e.name, func(b *testing.B) {
			ways := waysOf(b, e)
			seconds := map[string][]time.Duration{}
			for b.Loop() {
				for _, way := range ways[1:] {
					var group sync.WaitGroup
					began := time.Now()
					for w := range writers {
						group.Go(func() {
							for range commits {
								if err := way.db.Model(way.model(uint(1+w))).Update("version", gorm.Expr("version + 1")).Error; err != nil {
									b.Error(err)
									return
								}
							}
						})
					}
					group.Wait()
					seconds[way.name] = append(seconds[way.name], time.Since(began))
				}
			}
			b.ReportMetric(0, "ns/op")
			for name, took := range seconds {
				b.ReportMetric(writers*commits/(micros(took, 50)/1e6), name+"-commits/s")
			}
		})
	}
}

// BenchmarkRelay measures the rows that one relay publishes a second.
func BenchmarkRelay(b *testing.B) {
	const count = 10_000
	for _, e := range engines {
		b.Run(e.name, func(b *testing.B) {
			db, err := open(e.name, e.create(b), gorm.Config{})
			require.NoError(b, err)
			pool, err := db.DB()
			require.NoError(b, err)
			b.Cleanup(func() { _ = pool.Close() })
			hub := rohrpost.NewHub(rohrpost.Config{Broker: &sink{}, Logger: slog.New(slog.DiscardHandler)})
			require.NoError(b, db.Use(rohrpost.Plugin(hub)))
			box, err := New(db, hub, Config{})
			require.NoError(b, err)
			batch := encode([]broker.Message{{Stream: "g", Payload: []byte(`{"id":4503599627370496,"type":"subscription-update",` +
				`"data":{"type":"update","group":"g","object":{"id":1,"updated_fields":["title"]},"updated_fields":["title"]}}`)}})
			var took time.Duration
			for b.Loop() {
				rows := make([]outboxRow, count)
				for i := range rows {
					rows[i].Batch, rows[i].Created = batch, time.Now().UnixMilli()
				}
				require.NoError(b, db.CreateInBatches(rows, 1000).Error)
				r := &relay{Outbox: box}
				began := time.Now()
				for more := true; more; {
					more, err = r.round(context.Background())
					require.NoError(b, err)
				}
				took += time.Since(began)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(b.N)*count/took.Seconds(), "rows/s")
		})
	}
}

// BenchmarkPage measures the time from the return of a write to the page that reads it, with
// and without an outbox in turn. The hub has no broker, and its relay runs.
func BenchmarkPage(b *testing.B) {
	for _, e := range engines {
		b.Run(e.name, func(b *testing.B) {
			ways := waysOf(b, e)[1:3]
			pages := make([]*page, len(ways))
			for i := range ways {
				pages[i] = newPage(b, e, i == 1)
			}
			took := make([][]time.Duration, len(ways))
			for b.Loop() {
				for i, p := range pages {
					took[i] = append(took[i], p.update(b))
				}
			}
			b.ReportMetric(0, "ns/op")
			for i, way := range ways {
				b.ReportMetric(micros(took[i], 50), way.name+"-p50-µs")
				b.ReportMetric(micros(took[i], 99), way.name+"-p99-µs")
			}
		})
	}
}

// page is a member of the group of one row.
type page struct {
	db       *gorm.DB
	received chan time.Time
}

func newPage(b *testing.B, e engine, withOutbox bool) *page {
	p := &page{received: make(chan time.Time, 1)}
	var err error
	p.db, err = open(e.name, e.create(b), gorm.Config{})
	require.NoError(b, err)
	hub := rohrpost.NewHub(rohrpost.Config{Logger: slog.New(slog.DiscardHandler)})
	hub.Allow("keyed-{id}", rohrpost.Anyone)
	require.NoError(b, p.db.Use(rohrpost.Plugin(hub)))
	require.NoError(b, p.db.AutoMigrate(&keyed{}))
	require.NoError(b, p.db.Create(&keyed{ID: 1}).Error)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	if withOutbox {
		box, err := New(p.db, hub, Config{})
		require.NoError(b, err)
		go func() { ended <- box.Run(ctx) }()
	} else {
		ended <- nil
	}
	server := httptest.NewServer(hub)
	ws, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http"), nil)
	require.NoError(b, err)
	require.NoError(b, ws.WriteMessage(websocket.TextMessage, []byte(`{"id":1,"type":"subscribe","data":{"group":"keyed-1"}}`)))
	_, _, err = ws.ReadMessage()
	require.NoError(b, err)
	go func() {
		for {
			if _, _, err := ws.ReadMessage(); err != nil {
				return
			}
			p.received <- time.Now()
		}
	}()
	b.Cleanup(func() {
		cancel()
		require.NoError(b, <-ended)
		_ = ws.Close()
		server.Close()
		pool, _ := p.db.DB()
		_ = pool.Close()
	})
	return p
}

// update writes, and returns the time from the return of the write to the message.
func (p *page) update(b *testing.B) time.Duration {
	require.NoError(b, p.db.Model(&keyed{ID: 1}).Update("version", gorm.Expr("version + 1")).Error)
	returned := time.Now()
	return max(0, (<-p.received).Sub(returned))
}
