package integration

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/internal/writetest"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

// keyed is announced by its key alone, shown by columns of the row.
type (
	keyed struct {
		rohrpost.NotifyOnChange
		ID    uint
		Kind  uint
		Title string `gorm:"size:50"`
	}
	shown struct {
		rohrpost.NotifyOnChange `rohrpost:"group:shown-{kind}"`
		ID                      uint
		Kind                    uint
		Title                   string `gorm:"size:50"`
	}
)

// BenchmarkUpdates updates 1, 100 and 10,000 rows by condition, bare and with the
// plugin alternately in one run, and reports the ratio of the median times.
// "SQLite" does not wait for the disk, "SQLite, durable" has the default settings.
//
//	go test -run '^$' -bench '^BenchmarkUpdates$' -benchtime 200x .
func BenchmarkUpdates(b *testing.B) {
	durable := writetest.Engine{Name: "SQLite, durable", Open: func(tb testing.TB, config gorm.Config) *gorm.DB {
		return writetest.Connect(tb, sqlite.Open(filepath.Join(tb.TempDir(), "test.db")), config)
	}}
	for _, e := range append([]writetest.Engine{durable}, engines...) {
		for _, model := range []any{&keyed{}, &shown{}} {
			for _, rows := range []int{1, 100, 10_000} {
				name := fmt.Sprintf("%s/%s/%d", e.Name, strings.TrimPrefix(fmt.Sprintf("%T", model), "*integration."), rows)
				b.Run(name, func(b *testing.B) {
					bare, with := e.Open(b, gorm.Config{}), e.Open(b, gorm.Config{})
					require.NoError(b, with.Use(rohrpost.Plugin(rohrpost.NewHub(rohrpost.Config{}))))
					for _, db := range []*gorm.DB{bare, with} {
						fill(b, db, model, rows)
					}
					benchmarkUpdates(b, bare, with, model, rows)
				})
			}
		}
	}
}

func fill(b *testing.B, db *gorm.DB, model any, rows int) {
	require.NoError(b, db.AutoMigrate(model))
	quietly := db.WithContext(rohrpost.WithoutNotify(context.Background()))
	maps := make([]map[string]any, rows)
	for i := range maps {
		maps[i] = map[string]any{"id": i + 1, "kind": i % 10, "title": "x"}
	}
	for chunk := range slices.Chunk(maps, 1000) {
		table := "keyeds"
		if _, ok := model.(*shown); ok {
			table = "showns"
		}
		require.NoError(b, quietly.Table(table).Create(chunk).Error)
	}
}

func benchmarkUpdates(b *testing.B, bare, with *gorm.DB, model any, rows int) {
	times := map[*gorm.DB][]time.Duration{}
	n := 0
	for b.Loop() {
		n++
		for i := range 2 {
			db := []*gorm.DB{bare, with}[(i+n)%2]
			start := time.Now()
			result := db.Model(model).Where("id > ?", 0).Update("title", fmt.Sprint(n))
			times[db] = append(times[db], time.Since(start))
			if result.Error != nil || result.RowsAffected != int64(rows) {
				b.Fatal(result.Error, result.RowsAffected)
			}
		}
	}
	for _, db := range []*gorm.DB{bare, with} {
		slices.Sort(times[db])
	}
	bareMedian, withMedian := times[bare][n/2], times[with][n/2]
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(bareMedian.Nanoseconds())/1000, "bare-µs")
	b.ReportMetric(float64(withMedian.Nanoseconds())/1000, "with-µs")
	b.ReportMetric(float64(withMedian)/float64(bareMedian), "ratio")
}

// BenchmarkLocks lets transactions update overlapping rows by condition and by key
// side by side, bare and with the plugin, and reports what that costs: deadlocks
// in 1,000 transactions and the median time of one.
//
//	go test -run '^$' -bench '^BenchmarkLocks$' -benchtime 5x .
func BenchmarkLocks(b *testing.B) {
	for _, e := range engines[1:] { // SQLite has one writer
		for _, kind := range []string{"one by condition", "two by condition", "two by key", "delete and upsert"} {
			for _, plugin := range []bool{false, true} {
				b.Run(fmt.Sprintf("%s/%s/plugin %v", e.Name, kind, plugin), func(b *testing.B) {
					db := e.Open(b, gorm.Config{})
					if plugin {
						require.NoError(b, db.Use(rohrpost.Plugin(rohrpost.NewHub(rohrpost.Config{}))))
					}
					fill(b, db, &keyed{}, 100)
					var failed atomic.Int64
					var all []time.Duration
					for b.Loop() {
						all = append(all, contend(db, kind, &failed)...)
					}
					slices.Sort(all)
					b.ReportMetric(0, "ns/op")
					b.ReportMetric(1000*float64(failed.Load())/float64(len(all)), "failed/1000")
					b.ReportMetric(float64(all[len(all)/2].Microseconds()), "median-µs")
				})
			}
		}
	}
}

// contend runs transactions of two statements each on four connections.
func contend(db *gorm.DB, kind string, failed *atomic.Int64) (times []time.Duration) {
	var mu sync.Mutex
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := range 50 {
				start := time.Now()
				err := db.Transaction(func(tx *gorm.DB) error { return contention(tx, kind, w, i) })
				if err != nil {
					failed.Add(1)
				}
				mu.Lock()
				times = append(times, time.Since(start))
				mu.Unlock()
			}
		})
	}
	writers.Wait()
	return times
}

func contention(tx *gorm.DB, kind string, w, i int) error {
	low := (i*13 + w*29) % 80
	title := fmt.Sprint(w, i)
	switch kind {
	case "one by condition":
		return tx.Model(&keyed{}).Where("id > ? AND id < ?", low, low+10).Update("title", title).Error
	case "two by condition":
		return errors.Join(
			tx.Model(&keyed{}).Where("id > ? AND id < ?", low, low+10).Update("title", title).Error,
			tx.Model(&keyed{}).Where("kind = ?", i%10).Update("title", title).Error,
		)
	case "two by key":
		return errors.Join(
			tx.Model(&keyed{ID: uint(low + 1)}).Update("title", title).Error,
			tx.Model(&keyed{ID: uint(low + 5)}).Update("title", title).Error,
		)
	}
	return errors.Join(
		tx.Delete(&keyed{ID: uint(low + 1)}).Error,
		tx.Save(&[]keyed{{ID: uint(low + 1), Kind: uint(low % 10), Title: title}}).Error,
	)
}
