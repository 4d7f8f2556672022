package sqlbroker_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/sqlbroker"
)

// TestMigrate makes the tables in eight processes at once.
func TestMigrate(t *testing.T) {
	for _, e := range append(engines(), isolated()...) {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			o := open(t, e, sqlbroker.Config{})
			var all sync.WaitGroup
			for range 8 {
				b := peer(t, o)
				all.Go(func() { assert.NoError(t, b.Migrate(t.Context())) })
			}
			all.Wait()
			epoch(t, o)
		})
	}
}

// TestAllAtOnce lets hubs publish to the same streams, follow them, let them go on, and drop
// old messages. No call may fail: the database must not have to end one of two that wait for
// each other, or one that has waited.
func TestAllAtOnce(t *testing.T) {
	for _, e := range append(engines(), isolated()...) {
		t.Run(e.name, func(t *testing.T) { allAtOnce(t, open(t, e, sqlbroker.Config{MaxMessages: 2000})) })
	}
}

// isolated returns the databases with other isolation levels.
func isolated() (all []engine) {
	for _, level := range []string{"REPEATABLE READ", "SERIALIZABLE"} {
		all = append(all, engine{"PostgreSQL " + level, func(testing.TB) gorm.Dialector {
			return postgres.Open(pg() + " default_transaction_isolation='" + level + "'")
		}, ""})
	}
	for _, level := range []string{"READ-COMMITTED", "SERIALIZABLE"} { // REPEATABLE-READ is the default
		all = append(all, engine{"MariaDB " + level, func(testing.TB) gorm.Dialector {
			return mysql.Open(maria() + "&tx_isolation=%27" + level + "%27")
		}, ""})
	}
	return all
}

// allAtOnce makes 25 calls of each kind for each of two hubs.
func allAtOnce(t *testing.T, o opened) {
	var streams []string
	for i := range 40 {
		streams = append(streams, fmt.Sprint("g", i))
	}
	before, err := o.Follow(t.Context(), streams)
	require.NoError(t, err)
	var hubs sync.WaitGroup
	for hub := range 2 {
		b := peer(t, o)
		for _, call := range []func(n uint64) error{
			func(n uint64) error { return b.Publish(t.Context(), []broker.Batch{toEach(streams, hub, n)}) },
			func(uint64) error { _, err := b.Follow(t.Context(), streams); return err },
			func(uint64) error { _, err := b.Positions(t.Context(), streams); return err },
			func(uint64) error { _, err := b.Read(t.Context(), "g0", 0, 10); return err },
			func(uint64) error { return b.Clean(t.Context()) },
			func(uint64) error { return o.age(2 * time.Minute) },
		} {
			hubs.Go(func() {
				for n := range uint64(25) {
					assert.NoError(t, call(n+1))
				}
			})
		}
	}
	hubs.Wait()
	after, err := o.Positions(t.Context(), streams)
	require.NoError(t, err)
	for i := range streams {
		assert.Equal(t, before[i].Epoch, after[i].Epoch)
	}
	h, err := o.Read(t.Context(), "g0", 0, 1000)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, len(h.Messages), 40)
}

// toEach returns a batch with one message for each stream.
func toEach(streams []string, source int, number uint64) broker.Batch {
	batch := broker.Batch{Source: fmt.Sprint(source), Number: number}
	for _, name := range streams {
		batch.Messages = append(batch.Messages, broker.Message{Stream: name, Payload: []byte("x")})
	}
	return batch
}

// TestWritersWaitForTheClock lets another hub hold the clock: no row of a stream is written
// meanwhile.
func TestWritersWaitForTheClock(t *testing.T) {
	for _, e := range engines()[1:] { // on SQLite nothing is written meanwhile anyway
		for name, test := range map[string]struct {
			age  time.Duration
			call func(ctx context.Context, o opened) error
		}{
			"follow":    {2 * time.Minute, func(ctx context.Context, o opened) error { _, err := o.Follow(ctx, []string{"g"}); return err }},
			"positions": {2 * time.Minute, func(ctx context.Context, o opened) error { _, err := o.Positions(ctx, []string{"g"}); return err }},
			"clean":     {time.Hour, func(ctx context.Context, o opened) error { return o.Clean(ctx) }},
		} {
			t.Run(e.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				o := open(t, e, sqlbroker.Config{})
				epoch(t, o)
				require.NoError(t, o.age(test.age))
				touched := func() (all []int64) {
					require.NoError(t, o.db.Table(o.table("streams")).Pluck("touched", &all).Error)
					return all
				}
				before := touched()
				tx := o.db.Begin()
				defer tx.Rollback()
				require.NoError(t, tx.Exec("UPDATE "+o.table("clock")+" SET seq = seq").Error)
				ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
				defer cancel()
				require.ErrorIs(t, test.call(ctx, o), context.DeadlineExceeded)
				assert.Equal(t, before, touched())
			})
		}
	}
}
