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
	bursts       = flag.Int("bursts", 20, "bursts of writers to run")
	programsSeed = flag.Uint64("programs-seed", 1, "seed of the first program")
)

func TestPrograms(t *testing.T) { Programs(t, engine, *programs, *programsSeed) }

func TestCatalogue(t *testing.T) { Catalogue(t, engine) }

func TestCommitMatrix(t *testing.T) { CommitMatrix(t, engine) }

// Every method of GORM is in the catalogue, or known to write nothing.
func TestEveryMethodIsKnown(t *testing.T) { assert.Empty(t, unknownMethods()) }

func TestBursts(t *testing.T) { Bursts(t, engine, *bursts, *programsSeed) }

func TestUnreadable(t *testing.T) { Unreadable(t, engine) }

func TestPayloads(t *testing.T) { Payloads(t, engine) }
