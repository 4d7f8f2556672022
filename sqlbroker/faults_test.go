package sqlbroker_test

import (
	"flag"
	"strings"
	"syscall"
	"testing"
	"time"

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
		"PostgreSQL": func(t testing.TB) (*server, sqlbroker.Config) { return newPostgres(t), sqlbroker.Config{} },
		"PostgreSQL with LISTEN": func(t testing.TB) (*server, sqlbroker.Config) {
			s := newPostgres(t)
			return s, sqlbroker.Config{Listen: s.dsn()}
		},
		"MariaDB": func(t testing.TB) (*server, sqlbroker.Config) { return newMariaDB(t), sqlbroker.Config{} },
	} {
		for what, fault := range map[string]func(s *server, meanwhile func()){
			"kill": func(s *server, _ func()) { s.kill(); s.start() },
			"stop": func(s *server, _ func()) {
				s.signal(syscall.SIGSTOP)
				time.Sleep(5 * time.Second)
				s.signal(syscall.SIGCONT)
			},
			"restart": func(s *server, _ func()) { s.end(); s.start() },
			"back in time": func(s *server, meanwhile func()) {
				s.end()
				s.copyData("data", "copy")
				s.start()
				meanwhile()
				s.kill()
				s.copyData("copy", "data")
				s.start()
			},
		} {
			t.Run(name+"/"+strings.ReplaceAll(what, " ", "-"), func(t *testing.T) {
				t.Parallel()
				for range *faultRuns {
					s, c := start(t)
					runFault(t, s, c, func(meanwhile func()) { fault(s, meanwhile) })
				}
			})
		}
	}
}

func runFault(t *testing.T, s *server, c sqlbroker.Config, fault func(meanwhile func())) {
	c.App = "faults"
	r := enginefaults.Run(t, enginefaults.Config{
		Open: func() broker.Broker {
			db, err := gorm.Open(s.dial, &gorm.Config{Logger: quiet})
			require.NoError(t, err)
			pool, err := db.DB()
			require.NoError(t, err)
			pool.SetMaxOpenConns(5)
			t.Cleanup(func() { _ = pool.Close() })
			b, err := sqlbroker.New(db, c)
			require.NoError(t, err)
			return b
		},
		Fault: fault,
		Rate:  100,
		Cut:   true,
		Log:   t.Output(),
	})
	t.Logf("%d expected, %d delivered, %d loaded, back after %v, recovered %d, not %v, resyncs %v",
		r.Expected, r.Delivered, r.Loaded, r.Back.Round(time.Millisecond), r.Recovered, r.NotRecovered, r.Resyncs)
}
