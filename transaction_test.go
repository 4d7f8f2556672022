package rohrpost_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/internal/sqlitetest"
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

		require.NoError(t, rohrpost.AfterCommit(db, call("at once")))
		require.NoError(t, db.Transaction(func(tx *gorm.DB) error {
			require.NoError(t, add(tx, 1))
			require.NoError(t, rohrpost.AfterCommit(tx, call("kept")))
			_ = tx.Transaction(func(tx *gorm.DB) error {
				require.NoError(t, rohrpost.AfterCommit(tx, call("lost")))
				return errWanted
			})
			require.NoError(t, rohrpost.AfterCommit(tx, func() { panic("stays here") }))
			require.NoError(t, rohrpost.AfterCommit(tx, call("last")))
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
		require.NoError(t, rohrpost.Notify(tx, rohrpost.Change{Group: "g", Type: rohrpost.Update, Object: object, UpdatedFields: []string{"n"}}))
		object["n"] = 2 // too late: objects are encoded at once
		require.Error(t, rohrpost.Notify(tx, rohrpost.Change{Group: "not a group", Type: rohrpost.Update}))
		require.Error(t, rohrpost.Notify(tx, rohrpost.Change{Group: "g", Type: rohrpost.Update, Object: func() {}}))
		assert.Empty(t, rec.take())
		return nil
	}))
	assert.Equal(t, []string{`update g {"n":1} n`}, rec.take())
	require.NoError(t, rohrpost.Notify(db, rohrpost.Change{Group: "g", Type: rohrpost.Delete}))
	assert.Equal(t, []string{`delete g null`}, rec.take())
}

// After a commit AfterCommit and Notify act at once, as outside a transaction. After a
// rollback they return an error.
func TestEndedTransactions(t *testing.T) {
	eachMode(t, func(t *testing.T, db *gorm.DB, rec *recorder) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for _, test := range []struct {
			name string
			end  func(tx *gorm.DB) error
			err  error
		}{
			{"COMMIT", func(tx *gorm.DB) error { return tx.Commit().Error }, nil},
			{"COMMIT, and a deferred ROLLBACK", func(tx *gorm.DB) error { err := tx.Commit().Error; tx.Session(&gorm.Session{}).Rollback(); return err }, nil},
			{"ROLLBACK", func(tx *gorm.DB) error { return tx.Rollback().Error }, sql.ErrTxDone},
			{"the end of the context", func(*gorm.DB) error { cancel(); return nil }, sql.ErrTxDone},
		} {
			t.Run(test.name, func(t *testing.T) {
				tx := db.WithContext(ctx).Begin()
				require.NoError(t, test.end(tx))
				called := false
				require.ErrorIs(t, rohrpost.AfterCommit(tx, func() { called = true }), test.err)
				assert.Equal(t, test.err == nil, called)
				require.ErrorIs(t, rohrpost.Notify(tx, rohrpost.Change{Group: "g", Type: rohrpost.Delete}), test.err)
				want := []string{}
				if test.err == nil {
					want = []string{"delete g null"}
				}
				assert.Equal(t, want, rec.take())
			})
		}
	})
}

// A function of AfterCommit finds its transaction committed.
func TestAfterCommitInAfterCommit(t *testing.T) {
	db, rec := openDB(t, gorm.Config{})
	var order []string
	require.NoError(t, db.Transaction(func(tx *gorm.DB) error {
		require.NoError(t, add(tx, 1))
		return rohrpost.AfterCommit(tx, func() {
			assert.NoError(t, rohrpost.AfterCommit(tx, func() { order = append(order, "inner") }))
			assert.NoError(t, rohrpost.Notify(tx, rohrpost.Change{Group: "g", Type: rohrpost.Delete}))
			assert.NoError(t, add(db, 2))
			order = append(order, "outer")
		})
	}))
	assert.Equal(t, []string{"inner", "outer"}, order)
	assert.Equal(t, []string{`create task-1 {"id":1}`, "delete g null", `create task-2 {"id":2}`}, rec.take())
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
	require.ErrorIs(t, rohrpost.AfterCommit(own, func() { t.Error("called") }), rohrpost.ErrUntracked)
	require.ErrorIs(t, rohrpost.Notify(own, rohrpost.Change{Group: "g", Type: rohrpost.Create}), rohrpost.ErrUntracked)
	require.NoError(t, raw.Commit())
	assert.Empty(t, rec.take())
	assert.EqualValues(t, 2, rec.hub.Stats().Untracked)
	assert.Equal(t, 1, strings.Count(rec.logs.String(), "out of the plugin's sight"), "logged once")

	bare := sqlitetest.Open(t, gorm.Config{})
	require.ErrorContains(t, rohrpost.AfterCommit(bare, func() {}), "not in use")
}

func TestSQLTx(t *testing.T) {
	eachMode(t, func(t *testing.T, db *gorm.DB, _ *recorder) {
		_, ok := rohrpost.SQLTx(db)
		assert.False(t, ok)
		require.NoError(t, db.Transaction(func(tx *gorm.DB) error {
			raw, ok := rohrpost.SQLTx(tx)
			require.True(t, ok)
			_, err := raw.Exec("INSERT INTO tasks (id) VALUES (1)")
			return err
		}))
		pool, err := db.DB()
		require.NoError(t, err)
		assert.Equal(t, 1, pool.Stats().MaxOpenConnections)
	})
}

// The caller of a write with a context that has ended gets the error of the context, and the
// log has nothing to add.
func TestEndedContexts(t *testing.T) {
	eachMode(t, func(t *testing.T, db *gorm.DB, rec *recorder) {
		require.NoError(t, db.Create(&ticket{ID: 1, BoardID: 1}).Error)
		rec.take()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for name, write := range map[string]func(db *gorm.DB) error{
			"of an update":   func(db *gorm.DB) error { return db.Model(&ticket{ID: 1}).Update("board_id", 2).Error },
			"of a condition": func(db *gorm.DB) error { return db.Model(&ticket{}).Where("id = 1").Update("board_id", 2).Error },
			"of an upsert":   func(db *gorm.DB) error { return db.Save(&[]ticket{{ID: 1, BoardID: 2}}).Error },
			"of a delete":    func(db *gorm.DB) error { return db.Delete(&ticket{ID: 1}).Error },
			"of a create":    func(db *gorm.DB) error { return db.Create(&ticket{ID: 2}).Error },
		} {
			require.EqualError(t, write(db.WithContext(ctx)), context.Canceled.Error(), name)
		}
		assert.Empty(t, rec.logs.String())
		assert.Empty(t, rec.take())
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
		{&methodError{code: 19}, []string{}},
		{&methodError{}, []string{`resync task-1 {"reason":"commit"}`, `resync task-2 {"reason":"commit"}`}},
		{errors.New("commit unexpectedly resulted in rollback"), []string{}},
		{sql.ErrTxDone, []string{}},
	} {
		t.Run(test.err.Error(), func(t *testing.T) {
			db := sqlitetest.Open(t, gorm.Config{})
			pool := &failingPool{DB: db.ConnPool.(*sql.DB)}
			db.ConnPool, db.Statement.ConnPool = pool, pool
			rec := use(t, db, rohrpost.PluginConfig{})
			pool.err = test.err
			err := db.Transaction(func(tx *gorm.DB) error {
				require.NoError(t, rohrpost.AfterCommit(tx, func() { t.Error("called") }))
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

// methodError has the shape of an error of ncruces/go-sqlite3, whose code has a type of its
// own.
type methodError struct{ code errorCode }

type errorCode uint8

func (e *methodError) Error() string   { return fmt.Sprint("code ", e.code) }
func (e *methodError) Code() errorCode { return e.code }

// failingPool begins transactions whose COMMIT fails with err.
type failingPool struct {
	*sql.DB
	err error
}

func (p *failingPool) BeginTx(ctx context.Context, options *sql.TxOptions) (gorm.ConnPool, error) {
	tx, err := p.DB.BeginTx(ctx, options)
	return &failingTx{tx, p.err}, err
}

func (p *failingPool) GetDBConn() (*sql.DB, error) { return p.DB, nil }

type failingTx struct {
	*sql.Tx
	err error
}

func (f *failingTx) Commit() error {
	if f.err == nil {
		return f.Tx.Commit()
	}
	return errors.Join(f.err, f.Rollback())
}

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

// Above 10,000 changes a transaction keeps only the patterns of the groups concerned, so
// that its memory does not grow.
func TestHugeTransactions(t *testing.T) {
	db, rec := openDB(t, gorm.Config{}, &step{})
	require.NoError(t, db.Transaction(func(tx *gorm.DB) error {
		tx.SavePoint("start")
		require.NoError(t, rohrpost.AfterCommit(tx, func() { t.Error("rolled back") }))
		require.NoError(t, tx.Create(&task{ID: 1}).Error)
		tx.RollbackTo("start")
		require.NoError(t, rohrpost.AfterCommit(tx, func() {}))
		for range 11 {
			require.NoError(t, tx.CreateInBatches(steps(1, 1000), 500).Error)
		}
		require.NoError(t, tx.Create(&task{ID: 2}).Error)
		require.NoError(t, tx.Model(&step{}).Where("1 = 1").Update("title", "x").Error)
		return tx.Where("id > 5").Delete(&step{}).Error
	}))
	assert.Equal(t, []string{`resync board-{board_id} {"reason":"rows"}`, `resync task-{pk} {"reason":"rows"}`}, rec.take())

	require.NoError(t, db.Create(steps(2, 5000)).Error)
	require.NoError(t, db.Create(steps(2, 5000)).Error)
	rec.take()
	require.NoError(t, db.Model(&step{}).Where("1 = 1").Update("title", "y").Error)
	assert.Equal(t, []string{`resync board-{board_id} {"reason":"rows"}`}, rec.take(), "one statement")
	require.NoError(t, db.Model(&step{}).Where("1 = 1").Update("board_id", 9).Error)
	assert.Equal(t, []string{`resync board-{board_id} {"reason":"rows"}`}, rec.take(), "one statement that moves rows")
	assert.Empty(t, rec.logs.String())
}

// A migration over a million rows is told as one resync, and the memory for it is
// bounded: ten bytes a row would already be too much.
func TestMigrationIsBounded(t *testing.T) {
	const rows, bound = 1_000_000, 10 * 1_000_000
	count := rows
	if testing.Short() {
		count = rows / 20
	}
	db, rec := openDB(t, gorm.Config{})
	require.NoError(t, db.Exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < ?)
		INSERT INTO tasks (id, title) SELECT i, 'x' FROM n`, count).Error)
	highest := peakHeap(t, func() {
		require.NoError(t, db.Transaction(func(tx *gorm.DB) error {
			if err := tx.Model(&task{}).Where("id > 0").Update("title", "y").Error; err != nil {
				return err
			}
			for range 20 {
				if err := tx.CreateInBatches(make([]task, 1000), 500).Error; err != nil {
					return err
				}
			}
			return tx.Where("id > 0").Delete(&task{}).Error
		}))
	})
	assert.Equal(t, []string{`resync task-{pk} {"reason":"rows"}`}, rec.take())
	assert.Less(t, highest, uint64(bound))
	t.Logf("%d rows: %d KiB more at most", count, highest>>10)
}

// peakHeap returns how many bytes more were live at most while do ran: what the latest
// collection has found reachable, without the garbage that other goroutines make.
func peakHeap(t *testing.T, do func()) uint64 {
	inUse := func() uint64 {
		runtime.GC()
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(live)
		return live[0].Value.Uint64()
	}
	before, highest := inUse(), uint64(0)
	ctx, cancel := context.WithCancel(t.Context())
	var sampler sync.WaitGroup
	sampler.Go(func() {
		for ctx.Err() == nil {
			highest = max(highest, inUse())
			time.Sleep(5 * time.Millisecond)
		}
	})
	do()
	cancel()
	sampler.Wait()
	return highest - min(before, highest)
}

// SQLite takes any text in quotes for the name of a savepoint.
func TestSavepointNames(t *testing.T) {
	for _, name := range []string{"x", `"x y"`, `'x'`, `"-x"`, `" x"`, `"a""b"`, "`A`", "[a]"} {
		db, rec := openDB(t, gorm.Config{})
		require.NoError(t, db.Transaction(func(tx *gorm.DB) error {
			require.NoError(t, tx.SavePoint(name).Error)
			require.NoError(t, tx.Create(&task{Title: "lost"}).Error)
			require.NoError(t, tx.RollbackTo(name).Error)
			return tx.Create(&task{Title: "kept"}).Error
		}), name)
		assert.Equal(t, []string{`create task-1 {"id":1}`}, rec.take(), name)
	}
}
