package sqlbroker_test

import (
	"flag"
	"testing"

	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/enginefaults"
	"github.com/rohrpost/rohrpost/sqlbroker"
)

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
