package rohrpost

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

var errWanted = errors.New("wanted")

// add creates the tasks with these keys.
func add(tx *gorm.DB, keys ...uint) error {
	for _, key := range keys {
		if err := tx.Create(&task{ID: key}).Error; err != nil {
			return err
		}
	}
	return nil
}

func TestAfterCommit(t *testing.T) {
	eachMode(t, func(t *testing.T, db *gorm.DB, rec *recorder) {
		var order []string
		call := func(name string) func() {
			return func() { order = append(order, name+" after "+strings.Join(rec.take(), "")) }
		}

		require.NoError(t, AfterCommit(db, call("at once")))
		require.NoError(t, db.Transaction(func(tx *gorm.DB) error {
			require.NoError(t, add(tx, 1))
			require.NoError(t, AfterCommit(tx, call("kept")))
			_ = tx.Transaction(func(tx *gorm.DB) error {
				require.NoError(t, AfterCommit(tx, call("lost")))
				return errWanted
			})
			require.NoError(t, AfterCommit(tx, func() { panic("stays here") }))
			require.NoError(t, AfterCommit(tx, call("last")))
			assert.Len(t, order, 1)
			return nil
		}))
		assert.Equal(t, []string{"at once after ", `kept after create task-1 {"id":1}`, "last after "}, order)
		assert.Contains(t, rec.logs.String(), "stays here")
	})
}

func TestNotify(t *testing.T) {
	db, rec := openDB(t, gorm.Config{})
	object := map[string]any{"n": 1}
	require.NoError(t, db.Transaction(func(tx *gorm.DB) error {
		require.NoError(t, Notify(tx, Change{Group: "g", Type: Update, Object: object, UpdatedFields: []string{"n"}}))
		object["n"] = 2 // too late: objects are encoded at once
		require.Error(t, Notify(tx, Change{Group: "not a group", Type: Update}))
		require.Error(t, Notify(tx, Change{Group: "g", Type: Update, Object: func() {}}))
		assert.Empty(t, rec.take())
		return nil
	}))
	assert.Equal(t, []string{`update g {"n":1} n`}, rec.take())
	require.NoError(t, Notify(db, Change{Group: "g", Type: Delete}))
	assert.Equal(t, []string{`delete g null`}, rec.take())
}

func TestUntrackedTransactions(t *testing.T) {
	db, rec := openDB(t, gorm.Config{})
	pool, err := db.DB()
	require.NoError(t, err)
	raw, err := pool.Begin()
	require.NoError(t, err)
	own, err := gorm.Open(sqlite.New(sqlite.Config{Conn: raw}), &gorm.Config{Logger: logger.Discard, Plugins: db.Plugins})
	require.NoError(t, err)

	require.NoError(t, add(own, 1, 2))
	require.ErrorIs(t, AfterCommit(own, func() { t.Error("called") }), ErrUntracked)
	require.ErrorIs(t, Notify(own, Change{Group: "g", Type: Create}), ErrUntracked)
	require.NoError(t, raw.Commit())
	assert.Empty(t, rec.take())
	assert.EqualValues(t, 2, rec.counters.untracked.Load())
	assert.Equal(t, 1, strings.Count(rec.logs.String(), "out of the plugin's sight"), "logged once")

	bare := openBareDB(t, gorm.Config{})
	require.ErrorContains(t, AfterCommit(bare, func() {}), "not in use")
}

func TestSQLTx(t *testing.T) {
	eachMode(t, func(t *testing.T, db *gorm.DB, _ *recorder) {
		_, ok := SQLTx(db)
		assert.False(t, ok)
		require.NoError(t, db.Transaction(func(tx *gorm.DB) error {
			raw, ok := SQLTx(tx)
			require.True(t, ok)
			_, err := raw.Exec("INSERT INTO tasks (id) VALUES (1)")
			return err
		}))
		pool, err := db.DB()
		require.NoError(t, err)
		assert.Equal(t, 1, pool.Stats().MaxOpenConnections)
	})
}

// A COMMIT whose answer was lost may have happened or not: "resync" is right
// both ways, a payload is not.
func TestUnknownOutcomeOfCommit(t *testing.T) {
	for _, test := range []struct {
		err  error
		want []string
	}{
		{driver.ErrBadConn, []string{`resync task-1 {"reason":"commit"}`, `resync task-2 {"reason":"commit"}`}},
		{fmt.Errorf("commit: %w", context.DeadlineExceeded), []string{`resync task-1 {"reason":"commit"}`, `resync task-2 {"reason":"commit"}`}},
		{errors.New("lost"), []string{`resync task-1 {"reason":"commit"}`, `resync task-2 {"reason":"commit"}`}},
		{stateError("08006"), []string{`resync task-1 {"reason":"commit"}`, `resync task-2 {"reason":"commit"}`}},
		{stateError("23505"), []string{}},
		{fmt.Errorf("commit: %w", codeError{Number: 1213}), []string{}},
		{errors.New("commit unexpectedly resulted in rollback"), []string{}},
		{sql.ErrTxDone, []string{}},
	} {
		t.Run(test.err.Error(), func(t *testing.T) {
			db, rec := openDB(t, gorm.Config{})
			err := db.Transaction(func(tx *gorm.DB) error {
				stand := tx.Statement.ConnPool.(*transaction)
				stand.Tx = failingCommit{stand.Tx, test.err}
				require.NoError(t, AfterCommit(tx, func() { t.Error("called") }))
				return errors.Join(add(tx, 1, 2), tx.Model(&task{ID: 1}).Update("title", "x").Error)
			})
			require.ErrorIs(t, err, test.err)
			assert.Equal(t, test.want, rec.take())
		})
	}
}

// stateError and codeError have the shapes of drivers' errors.
type stateError string

func (e stateError) Error() string    { return "state " + string(e) }
func (e stateError) SQLState() string { return string(e) }

type codeError struct{ Number uint16 }

func (e codeError) Error() string { return fmt.Sprint("number ", e.Number) }

type failingCommit struct {
	gorm.Tx
	err error
}

func (f failingCommit) Commit() error { return errors.Join(f.err, f.Rollback()) }

func TestConcurrentUseOfOneTransaction(t *testing.T) {
	db, rec := openDB(t, gorm.Config{})
	require.NoError(t, db.Transaction(func(tx *gorm.DB) error {
		var done sync.WaitGroup
		for i := range 16 {
			done.Go(func() { assert.NoError(t, add(tx, uint(i+1))) })
		}
		done.Wait()
		return nil
	}))
	assert.Len(t, rec.take(), 16)
}

func TestSavepointCommand(t *testing.T) {
	for query, want := range map[string][2]string{
		"SAVEPOINT a":                           {"SAVEPOINT", "a"},
		" savepoint `a` ; ":                     {"SAVEPOINT", "a"},
		"RELEASE a":                             {"RELEASE", "a"},
		"release savepoint \"a\"":               {"RELEASE", "a"},
		"ROLLBACK TO a":                         {"ROLLBACK TO", "a"},
		"ROLLBACK WORK TO SAVEPOINT a":          {"ROLLBACK TO", "a"},
		"rollback transaction to a":             {"ROLLBACK TO", "a"},
		"SAVEPOINT savepoint":                   {"SAVEPOINT", "savepoint"},
		"ROLLBACK TO savepoint":                 {"ROLLBACK TO", "savepoint"},
		"ROLLBACK":                              {},
		"ROLLBACK TRANSACTION":                  {},
		"ROLLBACK TO":                           {},
		"SELECT 1":                              {},
		"SAVEPOINT":                             {},
		"SAVEPOINT a b":                         {},
		"":                                      {},
		"SAVEPOINT " + strings.Repeat("a", 600): {},
	} {
		verb, name := savepointCommand(query)
		assert.Equal(t, want, [2]string{verb, name}, query)
	}
}
