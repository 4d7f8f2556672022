package capture_test

import (
	"path/filepath"
	"testing"

	"github.com/rohrpost/rohrpost/internal/capture"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// The first write to a table asks the database what columns it has. On SQLite a transaction
// that reads first can no longer write once another one has written.
func TestFirstWriteBesideOthers(t *testing.T) {
	dsn := filepath.Join(t.TempDir(), "test.db") + "?_journal_mode=WAL&_busy_timeout=20000&_synchronous=OFF"
	open := func() *gorm.DB {
		db, err := gorm.Open(sqlite.Open(dsn), &gorm.Config{Logger: logger.Discard})
		require.NoError(t, err)
		pool, err := db.DB()
		require.NoError(t, err)
		t.Cleanup(func() { _ = pool.Close() })
		return db
	}
	other := open()
	require.NoError(t, other.AutoMigrate(&item{}))
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				assert.NoError(t, other.Create(&item{Title: "other"}).Error)
			}
		}
	}()
	for range 100 {
		db := open()
		require.NoError(t, db.Use(capture.New(&listing{detail: capture.Columns}, nil)))
		assert.NoError(t, db.Create(&item{Title: "first"}).Error)
		pool, err := db.DB()
		require.NoError(t, err)
		require.NoError(t, pool.Close())
	}
	close(stop)
	<-stopped
}
