package outbox

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

// On SQLite no write of the program finds the database locked by the relay of its process,
// even where it does not wait for locks at all.
func TestNoWriteFails(t *testing.T) {
	for name, journal := range map[string]string{"write-ahead log": "WAL", "rollback journal": "DELETE"} {
		for mode, config := range map[string]gorm.Config{"plain": {}, "no default tx": {SkipDefaultTransaction: true}, "prepared": {PrepareStmt: true}} {
			t.Run(name+", "+mode, func(t *testing.T) {
				dsn := filepath.Join(t.TempDir(), "test.db") + "?_busy_timeout=0&_synchronous=OFF&_journal_mode=" + journal
				s := &sink{}
				n := nodeOn(t, engines[0], dsn, s, config, Config{Poll: time.Millisecond})
				require.NoError(t, n.db.Exec("CREATE TABLE plain (id integer)").Error)
				n.run()
				require.NoError(t, n.db.Create(&item{ID: 1}).Error)
				for i := range 200 {
					require.NoError(t, n.db.Model(&item{ID: 1}).Update("version", i+1).Error)
					require.NoError(t, n.db.Exec("INSERT INTO plain VALUES (?)", i).Error)
					require.NoError(t, n.db.Transaction(func(tx *gorm.DB) error {
						return tx.Exec("UPDATE plain SET id = id + 1 WHERE id = ?", i).Error
					}))
				}
				n.drain()
				assert.Len(t, s.take(), 201)
			})
		}
	}
}

// The relay gets its turn between many writers.
func TestTurnsOfTheRelay(t *testing.T) {
	dsn := filepath.Join(t.TempDir(), "test.db") + "?_journal_mode=WAL&_busy_timeout=20000&_synchronous=OFF"
	s := &sink{}
	n := nodeOn(t, engines[0], dsn, s, gorm.Config{}, Config{})
	pool, err := n.db.DB()
	require.NoError(t, err)
	pool.SetMaxOpenConns(2)
	n.run()
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := range 50 {
				assert.NoError(t, n.db.Create(&item{ID: uint(w*1000 + i + 1)}).Error)
			}
		})
	}
	writers.Wait()
	n.drain()
	assert.Len(t, s.take(), 200)
}

// Neither side waits without end for the other.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := &turns{}
		relayed := 0
		relay := func(timeout time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			return turns.take(ctx, func(context.Context) error {
				turns.mu.Lock()
				defer turns.mu.Unlock()
				assert.Zero(t, turns.program)
				relayed++
				return nil
			})
		}
		require.NoError(t, relay(time.Second))
		end := turns.begin(t.Context())
		require.ErrorIs(t, relay(time.Second), errTurn)
		nested := turns.begin(t.Context()) // of the same goroutine, on another connection
		nested()

		done := make(chan error)
		go func() { done <- relay(time.Minute) }()
		synctest.Wait()
		began := time.Now()
		another := turns.begin(t.Context())
		assert.LessOrEqual(t, time.Since(began), yield)
		another()
		end()
		require.NoError(t, <-done)
		assert.Equal(t, 2, relayed)

		require.ErrorIs(t, turns.take(t.Context(), func(connecting context.Context) error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			began := time.Now()
			turns.begin(ctx)() // goes on when its context ends
			assert.Equal(t, time.Second, time.Since(began))
			<-connecting.Done()
			return connecting.Err()
		}), context.DeadlineExceeded)
		assert.False(t, turns.relay)
		assert.Zero(t, turns.program)
		wanted := errors.New("wanted")
		require.ErrorIs(t, turns.take(t.Context(), func(context.Context) error { return wanted }), wanted)
	})
}
