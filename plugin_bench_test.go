package rohrpost

import (
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/rohrpost/rohrpost/internal/sqlitetest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

type (
	// keyed uses every fallback: no tag, no methods.
	keyed struct {
		NotifyOnChange
		ID        uint
		Title     string
		Done      bool
		UpdatedAt time.Time
	}

	// rendered is grouped and rendered by methods.
	rendered struct {
		NotifyOnChange
		ID        uint
		BoardID   uint
		Title     string
		UpdatedAt time.Time
	}
)

func (r rendered) GroupName(string) string {
	return "board-" + strconv.FormatUint(uint64(r.BoardID), 10)
}

func (r rendered) PushNotificationData([]string, string) any {
	return map[string]any{"id": r.ID, "board": r.BoardID, "title": r.Title}
}

// plain is keyed without the marker.
type plain struct {
	ID        uint
	Title     string
	Done      bool
	UpdatedAt time.Time
}

// shown is grouped by a column that the writes do not set.
type shown struct {
	NotifyOnChange `rohrpost:"group:board-{board_id}"`
	ID             uint
	BoardID        uint
	Title          string
}

// told lists the columns that clients see.
type told struct {
	NotifyOnChange `rohrpost:"group:tolds;payload:title,board_id,updated_at"`
	ID             uint
	BoardID        uint
	Title          string
	UpdatedAt      time.Time
}

// BenchmarkPlugin measures what the plugin adds to a write: bare GORM and GORM
// with the plugin alternate in small chunks within one run, and the median of
// the paired differences of CPU time is reported. Run it with
//
//	go test -run '^$' -bench '^BenchmarkPlugin$' -benchtime 400x .
func BenchmarkPlugin(b *testing.B) {
	for _, bench := range []struct {
		name  string
		write func(db *gorm.DB) error
	}{
		{"unmarked/create", func(db *gorm.DB) error { return db.Create(&plain{Title: "x"}).Error }},
		{"unmarked/update", func(db *gorm.DB) error { return db.Model(&plain{ID: 1}).Update("title", "y").Error }},
		{"unmarked/delete", func(db *gorm.DB) error { return db.Delete(&plain{ID: 99_999_999}).Error }},
		{"marked/create", func(db *gorm.DB) error { return db.Create(&keyed{Title: "x"}).Error }},
		{"marked/update", func(db *gorm.DB) error { return db.Model(&keyed{ID: 1}).Update("title", "y").Error }},
		{"listed/create", func(db *gorm.DB) error { return db.Create(&told{Title: "x"}).Error }},
		{"listed/update", func(db *gorm.DB) error { return db.Model(&told{ID: 1}).Update("title", "y").Error }},
		{"marked, row needed, no move/update", func(db *gorm.DB) error { return db.Model(&shown{ID: 1}).Update("title", "y").Error }},
		{"marked, row needed/update", func(db *gorm.DB) error { return db.Model(&rendered{ID: 1}).Update("title", "y").Error }},
	} {
		for mode, config := range map[string]gorm.Config{"default tx": {}, "no default tx": {SkipDefaultTransaction: true}} {
			b.Run(bench.name+"/"+mode, func(b *testing.B) { benchmarkPair(b, config, bench.write) })
		}
	}
}

func benchmarkPair(b *testing.B, config gorm.Config, write func(*gorm.DB) error) {
	models := []any{&plain{}, &keyed{}, &rendered{}, &shown{}, &told{}}
	bare := sqlitetest.Open(b, config)
	require.NoError(b, bare.AutoMigrate(models...))
	with := sqlitetest.Open(b, config)
	require.NoError(b, with.AutoMigrate(models...))
	require.NoError(b, with.Use(Plugin(NewHub(Config{})))) // a real hub without members
	for _, db := range []*gorm.DB{bare, with} {
		require.NoError(b, db.Session(&gorm.Session{SkipHooks: true}).Create(&plain{}).Error)
		require.NoError(b, db.Create(&keyed{}).Error)
		require.NoError(b, db.Create(&rendered{}).Error)
		require.NoError(b, db.Create(&shown{}).Error)
		require.NoError(b, db.Create(&told{}).Error)
	}
	const chunk = 50
	run := func(db *gorm.DB) (cpu time.Duration, allocs uint64) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := cpuTime()
		for range chunk {
			if err := write(db); err != nil {
				b.Fatal(err)
			}
		}
		cpu = cpuTime() - start
		runtime.ReadMemStats(&after)
		return cpu / chunk, (after.Mallocs - before.Mallocs) / chunk
	}
	run(bare)
	run(with)
	var bareCPU, added, addedAllocs []float64
	for i := 0; b.Loop(); i++ {
		first, second := bare, with
		if i%2 == 1 {
			first, second = with, bare
		}
		cpu1, allocs1 := run(first)
		cpu2, allocs2 := run(second)
		sign := float64(1 - i%2*2)
		bareCPU = append(bareCPU, float64(min(cpu1, cpu2)))
		added = append(added, sign*float64(cpu2-cpu1))
		addedAllocs = append(addedAllocs, sign*(float64(allocs2)-float64(allocs1)))
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(bareCPU)/1000, "bare-µs/write")
	b.ReportMetric(median(added)/1000, "added-µs/write")
	b.ReportMetric(100*median(added)/median(bareCPU), "added-%")
	b.ReportMetric(median(addedAllocs), "added-allocs/write")
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// TestAllocationsOfWrites compares writes with those without the plugin, where nobody
// subscribes and no row must be read.
func TestAllocationsOfWrites(t *testing.T) {
	open := func() *gorm.DB {
		db := sqlitetest.Open(t, gorm.Config{})
		require.NoError(t, db.AutoMigrate(&plain{}, &keyed{}, &told{}))
		return db
	}
	bare, with := open(), open()
	require.NoError(t, with.Use(Plugin(NewHub(Config{}))))
	for name, row := range map[string]struct {
		write func(db *gorm.DB) error
		most  float64
	}{
		"unmarked update": {func(db *gorm.DB) error { return db.Model(&plain{ID: 1}).Update("title", "y").Error }, 1},
		"marked create":   {func(db *gorm.DB) error { return db.Create(&keyed{Title: "x"}).Error }, 4},
		"marked update":   {func(db *gorm.DB) error { return db.Model(&keyed{ID: 1}).Update("title", "y").Error }, 4},
		"listed create":   {func(db *gorm.DB) error { return db.Create(&told{Title: "x"}).Error }, 5},
		"listed update":   {func(db *gorm.DB) error { return db.Model(&told{ID: 1}).Update("title", "y").Error }, 4},
	} {
		allocations := func(db *gorm.DB) float64 {
			for _, value := range []any{&plain{}, &keyed{}, &told{}} {
				require.NoError(t, db.Create(value).Error)
			}
			var averages []float64
			for range 5 {
				averages = append(averages, testing.AllocsPerRun(200, func() { _ = row.write(db) }))
			}
			slices.Sort(averages)
			return averages[2]
		}
		most := row.most + 2 // a collection empties pools, and averages are rounded down
		if underRace() {
			most++ // it drops some of what pools keep
		}
		assert.LessOrEqual(t, allocations(with)-allocations(bare), most, name)
	}
}
