package integration

import (
	"fmt"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/rohrpost/rohrpost"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// BenchmarkUpserts upserts 100, 1,000 and 10,000 rows in one statement, half of which are
// there, bare and with the plugin alternately, and reports the ratio of the median times and
// of the CPU times of this process, which on SQLite are those of the database too.
//
//	go test -run '^$' -bench '^BenchmarkUpserts$' -benchtime 10x .
func BenchmarkUpserts(b *testing.B) {
	for _, e := range engines {
		for _, rows := range []int{100, 1000, 10_000} {
			b.Run(fmt.Sprintf("%s/%d", e.Name, rows), func(b *testing.B) {
				bare, with := e.Open(b, gorm.Config{}), e.Open(b, gorm.Config{})
				require.NoError(b, with.Use(rohrpost.Plugin(rohrpost.NewHub(rohrpost.Config{}))))
				require.NoError(b, bare.AutoMigrate(&shown{}))
				require.NoError(b, with.AutoMigrate(&shown{}))
				times, cpu := map[*gorm.DB][]time.Duration{}, map[*gorm.DB]time.Duration{}
				for n := 0; b.Loop(); n++ {
					for i := range 2 {
						db := []*gorm.DB{bare, with}[(i+n)%2]
						elements := make([]shown, rows)
						for j := range elements {
							elements[j] = shown{ID: uint(n*rows/2 + j + 1), Kind: uint(j % 10), Title: fmt.Sprint(n)}
						}
						runtime.GC() // neither pays for the garbage of the other
						start, cpuStart := time.Now(), cpuTime()
						require.NoError(b, db.Clauses(clause.OnConflict{UpdateAll: true}).Create(&elements).Error)
						times[db] = append(times[db], time.Since(start))
						cpu[db] += cpuTime() - cpuStart
					}
				}
				slices.Sort(times[bare])
				slices.Sort(times[with])
				median := func(db *gorm.DB) float64 { return float64(times[db][len(times[db])/2].Microseconds()) / 1e3 }
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(median(bare), "bare-ms")
				b.ReportMetric(median(with), "with-ms")
				b.ReportMetric(median(with)/median(bare), "ratio")
				b.ReportMetric(float64(cpu[with])/float64(cpu[bare]), "CPU-ratio")
			})
		}
	}
}

// cpuTime returns the CPU time that this process has used.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
