package writetest

import (
	"flag"
	"testing"

	"github.com/rohrpost/rohrpost/internal/sqlitetest"
	"github.com/stretchr/testify/assert"
)

var engine = Engine{Name: "SQLite", SQL: "sqlite", Open: sqlitetest.Open}

var (
	programs     = flag.Int("programs", 200, "random programs of writes to run")
	programsSeed = flag.Uint64("programs-seed", 1, "seed of the first program")
)

func TestPrograms(t *testing.T) { Programs(t, engine, *programs, *programsSeed) }

var oraclePrograms = flag.Int("oracle-programs", 200, "random programs of the oracle to run")

func TestOracle(t *testing.T) { Oracle(t, engine, *oraclePrograms, *programsSeed) }

func TestTables(t *testing.T) { Tables(t, engine) }

func TestAltering(t *testing.T) { Altering(t, engine) }

func TestIndexing(t *testing.T) { Indexing(t, engine) }

func TestDropping(t *testing.T) { Dropping(t, engine) }

func TestBeside(t *testing.T) { Beside(t, engine) }

func TestCatalogue(t *testing.T) { Catalogue(t, engine) }

func TestCommitMatrix(t *testing.T) { CommitMatrix(t, engine) }

// Every method of GORM is in the catalogue, or known to write nothing.
func TestEveryMethodIsKnown(t *testing.T) { assert.Empty(t, unknownMethods()) }
