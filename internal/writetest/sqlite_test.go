package writetest

import (
	"database/sql"
	"flag"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

var (
	databases atomic.Int64 // names them apart
	engine    = Engine{Name: "SQLite", SQL: "sqlite", Open: openSQLite}
)

// openSQLite opens a database in memory, with a single connection: what needed a
// second one while a transaction is open would hang.
func openSQLite(tb testing.TB, config gorm.Config) *gorm.DB {
	tb.Helper()
	config.Logger = logger.Discard
	dsn := fmt.Sprintf("file:writes%d?mode=memory&cache=shared&_foreign_keys=1", databases.Add(1))
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

var (
	programs     = flag.Int("programs", 200, "random programs of writes to run")
	programsSeed = flag.Uint64("programs-seed", 1, "seed of the first program")
)

func TestPrograms(t *testing.T) { Programs(t, engine, *programs, *programsSeed) }

func TestCatalogue(t *testing.T) { Catalogue(t, engine) }

func TestCommitMatrix(t *testing.T) { CommitMatrix(t, engine) }

// Every method of GORM is in the catalogue, or known to write nothing.
func TestEveryMethodIsKnown(t *testing.T) { assert.Empty(t, unknownMethods()) }
