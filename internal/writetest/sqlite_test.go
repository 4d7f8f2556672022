package writetest

import (
	"flag"
	"sync/atomic"
	"testing"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/internal/sqlitetest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

var engine = Engine{Name: "SQLite", SQL: "sqlite", Open: sqlitetest.Open}

var (
	programs     = flag.Int("programs", 200, "random programs of writes to run")
	bursts       = flag.Int("bursts", 20, "bursts of writers to run")
	programsSeed = flag.Uint64("programs-seed", 1, "seed of the first program")
)

func TestPrograms(t *testing.T) { Programs(t, engine, *programs, *programsSeed) }

var oraclePrograms = flag.Int("oracle-programs", 200, "random programs of the oracle to run")

func TestOracle(t *testing.T) { Oracle(t, engine, *oraclePrograms, *programsSeed) }

var given = flag.Int("given", 400, "random writes of which the program keeps what it gave")

func TestGiven(t *testing.T) { Given(t, engine, *given, *programsSeed) }

func TestTables(t *testing.T) { Tables(t, engine) }

func TestAltering(t *testing.T) { Altering(t, engine) }

func TestIndexing(t *testing.T) { Indexing(t, engine) }

func TestDropping(t *testing.T) { Dropping(t, engine) }

func TestBeside(t *testing.T) { Beside(t, engine) }

func TestCatalogue(t *testing.T) { Catalogue(t, engine) }

func TestCommitMatrix(t *testing.T) { CommitMatrix(t, engine) }

// Every method of GORM is in the catalogue, or known to write nothing.
func TestEveryMethodIsKnown(t *testing.T) { assert.Empty(t, unknownMethods()) }

func TestBursts(t *testing.T) { Bursts(t, engine, *bursts, *programsSeed) }

func TestUnreadable(t *testing.T) { Unreadable(t, engine) }

func TestPayloads(t *testing.T) { Payloads(t, engine) }

// The order of commits needs a transaction: a write without one gets its own, unless its
// changes are not sent.
func TestWritesWithoutTransaction(t *testing.T) {
	var statements *atomic.Int64
	counted := engine
	counted.Open = func(tb testing.TB, config gorm.Config) *gorm.DB {
		db := engine.Open(tb, config)
		statements = count(db)
		return db
	}
	b := counted.open(t, gorm.Config{SkipDefaultTransaction: true}, rohrpost.PluginConfig{})
	require.NoError(t, b.db.Create(&Task{Title: "first"}).Error) // the plugin asks for the columns of the table
	for name, write := range map[string]func(db *gorm.DB) error{
		"create": func(db *gorm.DB) error { return db.Create(&Task{Title: "x"}).Error },
		"update": func(db *gorm.DB) error { return db.Model(&Task{ID: 1}).Update("title", "y").Error },
		"delete": func(db *gorm.DB) error { return db.Delete(&Task{ID: 1}).Error },
	} {
		for added, db := range map[int64]*gorm.DB{0: b.withoutNotify(), 2: b.db} {
			before := statements.Load()
			require.NoError(t, write(db))
			assert.Equal(t, 1+added, statements.Load()-before, name)
		}
	}
}
