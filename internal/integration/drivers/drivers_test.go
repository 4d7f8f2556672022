// Package drivers runs the suites of writes on SQLite with drivers that need no C
// compiler.
package drivers

import (
	"flag"
	"path/filepath"
	"testing"

	"github.com/glebarez/sqlite"
	"github.com/ncruces/go-sqlite3/gormlite"
	"gorm.io/gorm"

	"github.com/rohrpost/rohrpost/internal/writetest"
)

var (
	programs = flag.Int("programs", 200, "random programs of writes, and of the oracle, to run with each driver")
	bursts   = flag.Int("bursts", 40, "bursts of writers to run with each driver")
	seed     = flag.Uint64("programs-seed", 1, "seed of the first program")
)

// driver is a driver of SQLite. Its name stands in the tests; that of the engine chooses
// the cases.
type driver struct {
	name string
	dial func(file, pragmas string) gorm.Dialector

	// keepsRefused is set where the driver leaves the transaction of a refused COMMIT open:
	// whoever gets the connection next writes into it, with the plugin and without.
	keepsRefused bool
}

var drivers = []driver{
	{"glebarez", func(file, pragmas string) gorm.Dialector { return sqlite.Open(file + pragmas) }, true},
	{"ncruces", func(file, pragmas string) gorm.Dialector { return gormlite.Open("file:" + file + pragmas) }, false},
}

// engine returns the database of the suites, with or without foreign keys: they refuse
// COMMITs.
func (d driver) engine(foreignKeys bool) writetest.Engine {
	pragmas := "?_pragma=busy_timeout(20000)&_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)"
	if foreignKeys {
		pragmas += "&_pragma=foreign_keys(1)"
	}
	return writetest.Engine{Name: "SQLite", SQL: "sqlite", Fulltext: "fts5", Open: func(tb testing.TB, config gorm.Config) *gorm.DB {
		return writetest.Connect(tb, d.dial(filepath.Join(tb.TempDir(), "test.db"), pragmas), config)
	}}
}

func TestDrivers(t *testing.T) {
	for _, driver := range drivers {
		t.Run(driver.name, func(t *testing.T) {
			e := driver.engine(true)
			t.Run("programs", func(t *testing.T) { writetest.Programs(t, driver.engine(!driver.keepsRefused), *programs, *seed) })
			t.Run("commit matrix", func(t *testing.T) {
				if driver.keepsRefused {
					t.Skip("the driver leaves the transaction of a refused COMMIT open")
				}
				writetest.CommitMatrix(t, e)
			})
			t.Run("oracle", func(t *testing.T) { writetest.Oracle(t, e, *programs, *seed) })
			t.Run("given", func(t *testing.T) { writetest.Given(t, e, *programs, *seed) })
			t.Run("bursts", func(t *testing.T) { writetest.Bursts(t, e, *bursts, *seed) })
			for name, suite := range map[string]func(*testing.T, writetest.Engine){
				"tables":     writetest.Tables,
				"altering":   writetest.Altering,
				"indexing":   writetest.Indexing,
				"dropping":   writetest.Dropping,
				"beside":     writetest.Beside,
				"catalogue":  writetest.Catalogue,
				"races":      writetest.Races,
				"payloads":   writetest.Payloads,
				"unreadable": writetest.Unreadable,
			} {
				t.Run(name, func(t *testing.T) { suite(t, e) })
			}
		})
	}
}
