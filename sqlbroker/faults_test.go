package sqlbroker_test

import (
	"flag"
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/enginefaults"
	"github.com/rohrpost/rohrpost/sqlbroker"
)

var partitions = flag.Int("partitions", 10, "how often the lines between hubs and each engine fail")

var faultRuns = flag.Int("faults", 0, "the number of runs of each fault of each engine")

// TestFaults lets private servers fail while pages at two hubs follow them. No page may
// miss a change without being told.
func TestFaults(t *testing.T) {
	if *faultRuns == 0 {
		t.Skip("runs with -faults")
	}
	for name, start := range map[string]func(t testing.TB) (*server, sqlbroker.Config){
		"PostgreSQL": func(t testing.TB) (*server, sqlbroker.Config) { return newPostgres(t), sqlbroker.Config{App: "faults"} },
		"PostgreSQL with LISTEN": func(t testing.TB) (*server, sqlbroker.Config) {
			s := newPostgres(t)
			return s, sqlbroker.Config{App: "faults", Listen: s.dsn()}
		},
		"MariaDB": func(t testing.TB) (*server, sqlbroker.Config) { return newMariaDB(t), sqlbroker.Config{App: "faults"} },
	} {
		t.Run(name, func(t *testing.T) {
			enginefaults.RunEach(t, *faultRuns, func(t *testing.T) (enginefaults.Engine, enginefaults.Config) {
				s, c := start(t)
				return s, enginefaults.Config{Open: func() broker.Broker { return s.broker(t, c) }, Rate: 100, Cut: true}
			})
		})
	}
}

// broker returns a Broker of one more hub on the server.
func (s *server) broker(t testing.TB, c sqlbroker.Config) broker.Broker {
	db, err := gorm.Open(s.dial, &gorm.Config{Logger: quiet})
	require.NoError(t, err)
	pool, err := db.DB()
	require.NoError(t, err)
	pool.SetMaxOpenConns(5)
	t.Cleanup(func() { _ = pool.Close() })
	b, err := sqlbroker.New(db, c)
	require.NoError(t, err)
	return b
}

// TestPartitions lets the lines between two hubs and the servers fail.
func TestPartitions(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute for each engine")
	}
	dsn := func(address string) string {
		host, port, _ := net.SplitHostPort(address)
		return fmt.Sprintf("host=%s port=%s user=postgres dbname=postgres sslmode=disable connect_timeout=2", host, port)
	}
	pg := func(_ testing.TB, address string) gorm.Dialector { return postgres.Open(dsn(address)) }
	for name, e := range map[string]struct {
		start  func(t testing.TB) *server
		dial   func(t testing.TB, address string) gorm.Dialector
		listen bool
	}{
		"PostgreSQL":             {newPostgres, pg, false},
		"PostgreSQL with LISTEN": {newPostgres, pg, true},
		"MariaDB": {newMariaDB, func(_ testing.TB, address string) gorm.Dialector {
			return mysql.Open("root@tcp(" + address + ")/mysql?parseTime=true&timeout=2s")
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := e.start(t)
			enginefaults.RunPartitioned(t, *partitions, fmt.Sprint("127.0.0.1:", s.port), func(address string) broker.Broker {
				through, c := *s, sqlbroker.Config{App: "faults"}
				if through.dial = e.dial(t, address); e.listen {
					c.Listen = dsn(address)
				}
				return through.broker(t, c)
			}, enginefaults.Config{Pages: 40, Rate: 50, Log: t.Output()})
		})
	}
}

// TestFullDisk fills the disk on which the database keeps its data.
func TestFullDisk(t *testing.T) {
	if testing.Short() {
		t.Skip("makes databases")
	}
	for name, start := range map[string]func(t testing.TB, dir string) *server{
		"PostgreSQL": newPostgresIn,
		"MariaDB":    newMariaDBIn,
		"SQLite": func(_ testing.TB, dir string) *server {
			return &server{dial: sqlite.Open("file:" + dir + "/broker.db?_journal_mode=WAL&_busy_timeout=10000&_txlock=immediate")}
		},
	} {
		t.Run(name, func(t *testing.T) {
			disk := enginefaults.NewDisk(t, 256<<20)
			s := start(t, disk.Dir)
			enginefaults.RunFull(t, enginefaults.Config{
				Open: func() broker.Broker { return s.broker(t, sqlbroker.Config{App: "full"}) },
			}, enginefaults.Full{
				Fill: disk.Fill,
				Empty: func() {
					if disk.Empty(); s.Server != nil && !s.answers() { // it has given up
						s.Kill()
						s.Start()
					}
				},
				Partial: true, Remedy: "make room on the disk of the database",
			})
		})
	}
}
