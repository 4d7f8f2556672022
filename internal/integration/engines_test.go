package integration

import (
	"cmp"
	"crypto/rand"
	"database/sql"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rohrpost/rohrpost/internal/writetest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

// Where the services are: the standard ports of this machine, or what the
// environment says.
var (
	postgresDSN = cmp.Or(os.Getenv("ROHRPOST_POSTGRES"), "host=127.0.0.1 port=5432 user=postgres sslmode=disable")
	mariaDSN    = cmp.Or(os.Getenv("ROHRPOST_MARIADB"), "root@tcp(127.0.0.1:3306)/")
)

var engines = []writetest.Engine{
	{Name: "SQLite", SQL: "sqlite", Open: openSQLite},
	{Name: "PostgreSQL", SQL: "postgres", Open: openPostgres},
	{Name: "MariaDB", SQL: "mysql", Open: func(tb testing.TB, config gorm.Config) *gorm.DB { return openMaria(tb, config, false) }},
	{Name: "MySQL", SQL: "mysql", Open: func(tb testing.TB, config gorm.Config) *gorm.DB { return openMaria(tb, config, true) }},
}

// onEach runs a suite on every database that is there.
func onEach(t *testing.T, suite func(*testing.T, writetest.Engine)) {
	for _, engine := range engines {
		t.Run(engine.Name, func(t *testing.T) {
			t.Parallel()
			suite(t, engine)
		})
	}
}

// absent skips a test whose service is not there; where all of them have to be,
// it fails.
func absent(tb testing.TB, service string, err error) {
	tb.Helper()
	if os.Getenv("CI") == "true" {
		require.NoError(tb, err, "%s is not there", service)
	}
	tb.Skipf("%s is not there: %v", service, err)
}

// nextName returns a name that no other run of the tests has.
func nextName() string { return "rohrpost_" + strings.ToLower(rand.Text()) }

func openSQLite(tb testing.TB, config gorm.Config) *gorm.DB {
	dsn := filepath.Join(tb.TempDir(), "test.db") + "?_foreign_keys=1&_journal_mode=WAL&_busy_timeout=20000&_synchronous=OFF"
	return writetest.Connect(tb, sqlite.Open(dsn), config)
}

func openPostgres(tb testing.TB, config gorm.Config) *gorm.DB {
	admin, err := sql.Open("pgx", postgresDSN)
	require.NoError(tb, err)
	if err := admin.Ping(); err != nil {
		absent(tb, "PostgreSQL", err)
	}
	schema := nextName()
	_, err = admin.Exec("CREATE SCHEMA " + schema)
	require.NoError(tb, err)
	tb.Cleanup(func() {
		_, err := admin.Exec("DROP SCHEMA " + schema + " CASCADE")
		assert.NoError(tb, err)
		assert.NoError(tb, admin.Close())
	})
	dsn := postgresDSN + " search_path=" + schema
	if _, measured := tb.(*testing.B); !measured {
		dsn += " synchronous_commit=off deadlock_timeout=50ms"
	}
	return writetest.Connect(tb, postgres.Open(dsn), config)
}

// openMaria opens a database of MariaDB. Without RETURNING it stands for MySQL,
// which has none.
func openMaria(tb testing.TB, config gorm.Config, plain bool) *gorm.DB {
	admin, err := sql.Open("mysql", mariaDSN)
	require.NoError(tb, err)
	if err := admin.Ping(); err != nil {
		absent(tb, "MariaDB", err)
	}
	name := nextName()
	_, err = admin.Exec("CREATE DATABASE " + name)
	require.NoError(tb, err)
	tb.Cleanup(func() {
		_, err := admin.Exec("DROP DATABASE " + name)
		assert.NoError(tb, err)
		assert.NoError(tb, admin.Close())
	})
	dsn := strings.Replace(mariaDSN, "/", "/"+name, 1) + "?parseTime=true&charset=utf8mb4"
	return writetest.Connect(tb, mysql.New(mysql.Config{DSN: dsn, DisableWithReturning: plain}), config)
}

var (
	programs     = flag.Int("programs", 200, "random programs of writes to run on each database")
	bursts       = flag.Int("bursts", 40, "bursts of writers to run on each database")
	programsSeed = flag.Uint64("programs-seed", 1, "seed of the first program")
)

func TestPrograms(t *testing.T) {
	onEach(t, func(t *testing.T, e writetest.Engine) { writetest.Programs(t, e, *programs, *programsSeed) })
}

var oraclePrograms = flag.Int("oracle-programs", 200, "random programs of the oracle to run on each database")

func TestOracle(t *testing.T) {
	onEach(t, func(t *testing.T, e writetest.Engine) { writetest.Oracle(t, e, *oraclePrograms, *programsSeed) })
}

func TestTables(t *testing.T) { onEach(t, writetest.Tables) }

func TestAltering(t *testing.T) { onEach(t, writetest.Altering) }

func TestIndexing(t *testing.T) { onEach(t, writetest.Indexing) }

func TestDropping(t *testing.T) { onEach(t, writetest.Dropping) }

func TestBeside(t *testing.T) { onEach(t, writetest.Beside) }

func TestBursts(t *testing.T) {
	onEach(t, func(t *testing.T, e writetest.Engine) { writetest.Bursts(t, e, *bursts, *programsSeed) })
}

func TestCatalogue(t *testing.T) { onEach(t, writetest.Catalogue) }

func TestCommitMatrix(t *testing.T) { onEach(t, writetest.CommitMatrix) }

var update = flag.Bool("update", false, "write doc/WRITES.md")

// TestWritesDocument holds the documentation against what the databases do.
func TestWritesDocument(t *testing.T) {
	const file = "../../doc/WRITES.md"
	got := writetest.Document(t, engines)
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, string(want), got, "run: go test -run TestWritesDocument -update .")
}

func TestRaces(t *testing.T) { onEach(t, writetest.Races) }

func TestPayloads(t *testing.T) { onEach(t, writetest.Payloads) }

func TestUnreadable(t *testing.T) { onEach(t, writetest.Unreadable) }

var given = flag.Int("given", 400, "random writes, on each database, of which the program keeps what it gave")

func TestGiven(t *testing.T) {
	onEach(t, func(t *testing.T, e writetest.Engine) { writetest.Given(t, e, *given, *programsSeed) })
}
