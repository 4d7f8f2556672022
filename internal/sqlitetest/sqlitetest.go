// Package sqlitetest opens SQLite databases for tests.
package sqlitetest

import (
	"crypto/rand"
	"database/sql"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// Open opens a new database in memory, which goes away with the test. It has a single
// connection: what needed a second one while a transaction is open would hang. GORM
// logs nothing.
func Open(tb testing.TB, config gorm.Config) *gorm.DB {
	tb.Helper()
	config.Logger = logger.Discard
	dsn := "file:" + rand.Text() + "?mode=memory&cache=shared&_foreign_keys=1"
	keeper, err := sql.Open(sqlite.DriverName, dsn) // the database lives as long as a connection does
	require.NoError(tb, err)
	require.NoError(tb, keeper.Ping())
	tb.Cleanup(func() { assert.NoError(tb, keeper.Close()) })
	db, err := gorm.Open(sqlite.Open(dsn), &config)
	require.NoError(tb, err)
	pool, err := db.DB()
	require.NoError(tb, err)
	pool.SetMaxOpenConns(1)
	tb.Cleanup(func() { assert.NoError(tb, pool.Close()) })
	return db
}
