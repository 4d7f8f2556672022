package nodes_test

import (
	"context"
	"crypto/rand"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/enginefaults"
	"github.com/rohrpost/rohrpost/sqlbroker"
)

// PgBouncer takes LISTEN in transaction mode, and drops what comes. The broker finds that out,
// says what to do, and polls.
func TestListenBehindPgBouncer(t *testing.T) {
	db, dsn := newDatabase(t, "PgBouncer")
	var log enginefaults.Lines
	c := sqlbroker.Config{App: "t" + strings.ToLower(rand.Text()[:12]), Listen: dsn, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	b, err := sqlbroker.New(db, c)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	delivered := make(chan []broker.Message, 1)
	running.Go(func() { _ = b.Run(ctx, func() {}, func(batch []broker.Message) { delivered <- batch }) })
	defer running.Wait()
	defer stop()
	_, err = b.Follow(ctx, []string{"g"})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "let Config.Listen lead to the server itself") }, 20*time.Second, 10*time.Millisecond)
	require.NoError(t, b.Publish(ctx, []broker.Batch{{Source: "s", Number: 1, Messages: []broker.Message{{Stream: "g", Payload: []byte("{}")}}}}))
	select {
	case batch := <-delivered:
		assert.Equal(t, "g", batch[0].Stream)
	case <-time.After(20 * time.Second):
		t.Error("nothing is delivered")
	}
	assert.Equal(t, 1, strings.Count(log.String(), "LISTEN does not work"))
}
