package nodes_test

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/rohrpost/rohrpost/outbox"
)

// databases create a database for a test, and return its DSN.
var databases = map[string]func(t *testing.T) (dsn string){
	"PostgreSQL": func(t *testing.T) string { return postgresDSN + " search_path=" + createSchema(t) },
	"PgBouncer":  createBehindPgBouncer,
	"MariaDB READ COMMITTED": func(t *testing.T) string {
		return createMaria(t) + "&tx_isolation=%27READ-COMMITTED%27"
	},
	"MariaDB REPEATABLE READ": func(t *testing.T) string {
		return createMaria(t) + "&tx_isolation=%27REPEATABLE-READ%27"
	},
}

var (
	postgresDSN = cmp.Or(os.Getenv("ROHRPOST_POSTGRES"), "host=127.0.0.1 port=5432 user=postgres sslmode=disable")
	mariaDSN    = cmp.Or(os.Getenv("ROHRPOST_MARIADB"), "root@tcp(127.0.0.1:3306)/")
)

// newDatabase makes a database for the test, with items.
func newDatabase(t *testing.T, kind string) (db *gorm.DB, dsn string) {
	dsn = databases[kind](t)
	db, err := openDatabase(dsn)
	require.NoError(t, err)
	t.Cleanup(func() { closeDatabase(t, db) })
	require.NoError(t, db.AutoMigrate(&Item{}, &Entry{}))
	require.NoError(t, outbox.Migrate(db))
	for id := range uint(items) {
		require.NoError(t, db.Create(&Item{ID: id + 1}).Error)
	}
	return db, dsn
}

func closeDatabase(t *testing.T, db *gorm.DB) {
	pool, err := db.DB()
	require.NoError(t, err)
	require.NoError(t, pool.Close())
}

func createSchema(t *testing.T) (name string) {
	return administer(t, "PostgreSQL", postgresDSN, "CREATE SCHEMA %s", "DROP SCHEMA %s CASCADE")
}

func createMaria(t *testing.T) (dsn string) {
	name := administer(t, "MariaDB", mariaDSN, "CREATE DATABASE %s", "DROP DATABASE %s")
	return strings.Replace(mariaDSN, "/", "/"+name, 1) + "?parseTime=true&charset=utf8mb4"
}

// administer creates what the test drops at its end.
func administer(t *testing.T, service, dsn, create, drop string) (name string) {
	admin, err := openDatabase(dsn)
	if err != nil {
		absent(t, service, err)
	}
	name = "nodes_" + strings.ToLower(rand.Text())
	require.NoError(t, admin.Exec(fmt.Sprintf(create, name)).Error)
	t.Cleanup(func() {
		require.NoError(t, admin.Exec(fmt.Sprintf(drop, name)).Error)
		closeDatabase(t, admin)
	})
	return name
}

// createBehindPgBouncer starts a PgBouncer that gives a connection of the server to a client
// for one transaction at a time.
func createBehindPgBouncer(t *testing.T) (dsn string) {
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		if _, err = os.Stat("/usr/sbin/pgbouncer"); err != nil {
			absent(t, "PgBouncer", errors.New("install the package pgbouncer"))
		}
		program = "/usr/sbin/pgbouncer"
	}
	if os.Getenv("ROHRPOST_POSTGRES") != "" {
		t.Skip("PgBouncer is tested with the server at 127.0.0.1:5432 only")
	}
	schema := createSchema(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := l.Addr().(*net.TCPAddr).Port
	require.NoError(t, l.Close())
	file := filepath.Join(t.TempDir(), "pgbouncer.ini")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, `[databases]
t = host=127.0.0.1 port=5432 dbname=postgres user=postgres connect_query='SET search_path TO %s'
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
ignore_startup_parameters = extra_float_digits
`, schema, port), 0o600))
	args := []string{file}
	if os.Getuid() == 0 {
		args = []string{"-u", "nobody", file} // it refuses to be root
	}
	command := exec.Command(program, args...)
	require.NoError(t, command.Start())
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", port))
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, 10*time.Second, 10*time.Millisecond)
	return fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=t sslmode=disable default_query_exec_mode=simple_protocol", port)
}
