package sqlbroker

import (
	"context"
	"crypto/rand"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/enginefaults"
)

// TestListen listens where notifications come, where they go somewhere else, as behind a
// pooler, and where nobody answers. Without notifications the broker says so once, and looks
// as often as without LISTEN.
func TestListen(t *testing.T) {
	dsn := os.Getenv("ROHRPOST_POSTGRES")
	if dsn == "" {
		dsn = "host=127.0.0.1 port=5432 user=postgres dbname=postgres sslmode=disable"
	}
	for name, c := range map[string]struct {
		listen, log string
		idle        time.Duration
	}{
		"the server":       {dsn, "", pollListening},
		"another database": {dsn + " dbname=template1", errNotHeard.Error(), 250 * time.Millisecond},
		"no server":        {dsn + " port=1", "connect", 250 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			db, err := gorm.Open(postgres.Open(dsn), &gorm.Config{Logger: logger.Discard})
			if err != nil && os.Getenv("CI") != "true" {
				t.Skipf("PostgreSQL is absent: %v", err)
			}
			require.NoError(t, err)
			var log enginefaults.Lines
			b, err := New(db, Config{App: "t" + strings.ToLower(rand.Text())[:20], Listen: c.listen, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			require.NoError(t, err)
			t.Cleanup(func() {
				for _, name := range []string{"clock", "streams", "messages", "sources"} {
					_ = db.Migrator().DropTable("rohrpost_" + b.config.App + "_" + name)
				}
			})
			ctx, stop := context.WithCancel(t.Context())
			var running sync.WaitGroup
			running.Go(func() { _ = b.Run(ctx, func() {}, func([]broker.Message) {}) })
			require.Eventually(t, func() bool { return b.listening.Load() || log.String() != "" }, 20*time.Second, 10*time.Millisecond)
			time.Sleep(time.Second) // it tries again
			assert.Equal(t, c.idle, b.idle())
			stop()
			running.Wait()
			assert.Equal(t, b.config.PollIdle, b.idle(), "it listens no more")
			assert.Equal(t, c.log == "", log.String() == "", log.String())
			assert.Contains(t, log.String(), c.log)
			assert.LessOrEqual(t, strings.Count(log.String(), "LISTEN does not work"), 1)
		})
	}
}
