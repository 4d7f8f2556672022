package rohrpost

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

// A migration over a million rows is told as one resync, and the memory for it is
// bounded: ten bytes a row would already be too much.
func TestMigrationIsBounded(t *testing.T) {
	const rows, bound = 1_000_000, 10 * 1_000_000
	count := rows
	if testing.Short() {
		count = rows / 20
	}
	db, rec := openDB(t, gorm.Config{})
	require.NoError(t, db.Exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < ?)
		INSERT INTO tasks (id, title) SELECT i, 'x' FROM n`, count).Error)
	highest := peakHeap(t, func() {
		require.NoError(t, db.Transaction(func(tx *gorm.DB) error {
			if err := tx.Model(&task{}).Where("id > 0").Update("title", "y").Error; err != nil {
				return err
			}
			for range 20 {
				if err := tx.CreateInBatches(make([]task, 1000), 500).Error; err != nil {
					return err
				}
			}
			return tx.Where("id > 0").Delete(&task{}).Error
		}))
	})
	assert.Equal(t, []string{`resync task-{pk} {"reason":"rows"}`}, rec.take())
	assert.Less(t, highest, uint64(bound))
	t.Logf("%d rows: %d KiB more at most", count, highest>>10)
}

// peakHeap returns how many bytes more were in use at most while do ran.
func peakHeap(t *testing.T, do func()) uint64 {
	inUse := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, highest := inUse(), uint64(0)
	ctx, cancel := context.WithCancel(t.Context())
	var sampler sync.WaitGroup
	sampler.Go(func() {
		for ctx.Err() == nil {
			highest = max(highest, inUse())
			time.Sleep(5 * time.Millisecond)
		}
	})
	do()
	cancel()
	sampler.Wait()
	return highest - min(before, highest)
}
