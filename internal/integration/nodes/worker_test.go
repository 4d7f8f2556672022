package nodes_test

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/rohrpost/rohrpost"
)

// The roles of a process that writes a few changes and ends.
const (
	worker             = "worker"
	workerWithoutViews = "worker without views"
)

// allowViews lets everybody see the items as one view.
func allowViews(hub *rohrpost.Hub) {
	hub.AllowViews("item-{id}", []string{"all"}, func(context.Context, *rohrpost.Conn, rohrpost.Params) (string, error) { return "all", nil })
}

// work writes to each item, and returns when the broker has taken that.
func work(db *gorm.DB, hub *rohrpost.Hub) error {
	for id := range uint(items) {
		if err := increase(db, id+1); err != nil {
			return err
		}
	}
	return hub.Flush(context.Background())
}

// The changes of another process reach the views of a page if the process registers the
// same patterns, and none else.
func TestWorker(t *testing.T) {
	for _, role := range []string{worker, workerWithoutViews} {
		t.Run(role, func(t *testing.T) {
			db, dsn := newDatabase(t, "PostgreSQL")
			address, app := startEngine(t, "redis", dsn), "t"+strings.ToLower(rand.Text()[:12])
			b, err := openBroker("redis", address, app)
			require.NoError(t, err)
			hub := rohrpost.NewHub(rohrpost.Config{Broker: b})
			allowViews(hub)
			p := openPage(t, hub)
			process := startNode(t, "redis", address, app, dsn, role)
			require.NoError(t, process.command.Wait(), process.log.String())
			require.NoError(t, db.Use(rohrpost.Plugin(hub)))
			require.NoError(t, work(db, hub)) // what the page gets after the changes of the worker
			var ledger []Entry
			require.NoError(t, db.Find(&ledger).Error)
			want := 0
			if role == workerWithoutViews {
				want = items
			}
			assert.Eventually(t, func() bool { return p.compare(ledger).lost == want }, 20*time.Second, 10*time.Millisecond)
			v := p.compare(ledger)
			assert.Equal(t, verdict{changes: 2 * items, lost: want}, v)
			require.NoError(t, hub.Shutdown(t.Context()))
		})
	}
}
