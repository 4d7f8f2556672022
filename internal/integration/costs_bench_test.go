package integration

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/rohrpost/rohrpost"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

// unmarked is keyed without a marker.
type unmarked struct {
	ID    uint
	Kind  uint
	Title string `gorm:"size:50"`
}

// BenchmarkCosts prints what the plugin adds to one write on each database: bare GORM and
// GORM with the plugin alternate in chunks of 20 writes, and the medians of the paired
// differences count. Pages hear of nothing: the hub has no members. The order of a row is in
// every marked write.
//
//	go test -run '^$' -bench '^BenchmarkCosts$' -benchtime 60x -timeout 10m .
func BenchmarkCosts(b *testing.B) {
	for _, e := range engines {
		for _, c := range []struct {
			name  string
			write func(db *gorm.DB, n int) error
		}{
			{"unmarked, update", func(db *gorm.DB, n int) error {
				return db.Model(&unmarked{ID: 1}).Update("title", fmt.Sprint(n)).Error
			}},
			{"by key, create", func(db *gorm.DB, n int) error { return db.Create(&keyed{Title: "x"}).Error }},
			{"by key, update", func(db *gorm.DB, n int) error {
				return db.Model(&keyed{ID: 1}).Update("title", fmt.Sprint(n)).Error
			}},
			{"row read back, update", func(db *gorm.DB, n int) error {
				return db.Model(&shown{ID: 1}).Update("title", fmt.Sprint(n)).Error
			}},
			{"row read before and after, move", func(db *gorm.DB, n int) error {
				return db.Model(&shown{ID: 1}).Update("kind", n).Error
			}},
		} {
			b.Run(e.Name+"/"+c.name, func(b *testing.B) {
				var dbs [2]*gorm.DB // bare, and with the plugin
				for i := range dbs {
					dbs[i] = e.Open(b, gorm.Config{})
					for _, model := range []any{&unmarked{}, &keyed{}, &shown{}} {
						require.NoError(b, dbs[i].AutoMigrate(model))
					}
					require.NoError(b, dbs[i].Create(&unmarked{}).Error)
					require.NoError(b, dbs[i].Create(&keyed{}).Error)
					require.NoError(b, dbs[i].Create(&shown{}).Error)
				}
				require.NoError(b, dbs[1].Use(rohrpost.Plugin(rohrpost.NewHub(rohrpost.Config{}))))
				benchmarkCosts(b, dbs, c.write)
			})
		}
	}
}

// benchmarkCosts reports the added time, CPU time and allocations of a write.
func benchmarkCosts(b *testing.B, dbs [2]*gorm.DB, write func(db *gorm.DB, n int) error) {
	const chunk = 20
	n := 1
	var before, after runtime.MemStats
	var bareTime, addedTime, bareCPU, addedCPU, addedAllocs []float64
	for i := 0; b.Loop(); i++ {
		var times, cpu, allocs [2]float64
		for j := range dbs {
			side := (i + j) % 2
			runtime.ReadMemStats(&before)
			start, cpuStart := time.Now(), cpuTime()
			for range chunk {
				n++
				if err := write(dbs[side], n); err != nil {
					b.Fatal(err)
				}
			}
			times[side], cpu[side] = float64(time.Since(start).Microseconds())/chunk, float64((cpuTime()-cpuStart).Microseconds())/chunk
			runtime.ReadMemStats(&after)
			allocs[side] = float64(after.Mallocs-before.Mallocs) / chunk
		}
		if i == 0 { // statements are prepared, and the plugin asks for the columns
			continue
		}
		bareTime, addedTime = append(bareTime, times[0]), append(addedTime, times[1]-times[0])
		bareCPU, addedCPU = append(bareCPU, cpu[0]), append(addedCPU, cpu[1]-cpu[0])
		addedAllocs = append(addedAllocs, allocs[1]-allocs[0])
	}
	median := func(values []float64) float64 {
		slices.Sort(values)
		return values[len(values)/2]
	}
	if len(bareTime) == 0 { // the trial run of one
		return
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(bareTime), "bare-µs")
	b.ReportMetric(median(addedTime), "added-µs")
	b.ReportMetric(median(bareCPU), "bare-CPU-µs")
	b.ReportMetric(median(addedCPU), "added-CPU-µs")
	b.ReportMetric(median(addedAllocs), "added-allocs")
}
