package writetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/rohrpost/rohrpost"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

// endings lists every way to end a transaction, with the tasks that are in the
// table afterwards: each is announced once, in order.
var endings = []struct {
	name string
	run  func(db *gorm.DB) error
	want []uint
	err  string // part of the expected error
	only string // the engines' languages that behave like this; "": all
}{
	{name: "single writes", run: func(db *gorm.DB) error { return add(db, 1, 2) }, want: []uint{1, 2}},
	{name: "transaction", run: func(db *gorm.DB) error {
		return db.Transaction(func(tx *gorm.DB) error { return add(tx, 1, 2) })
	}, want: []uint{1, 2}},
	{name: "transaction with an error", run: func(db *gorm.DB) error {
		return db.Transaction(func(tx *gorm.DB) error { return errors.Join(add(tx, 1), errWanted) })
	}, err: "wanted"},
	{name: "transaction with a panic", run: func(db *gorm.DB) error {
		return panics(func() {
			_ = db.Transaction(func(tx *gorm.DB) error { _ = add(tx, 1); panic("wanted") })
		})
	}, err: "wanted"},
	{name: "nested, inner fails", run: func(db *gorm.DB) error {
		return db.Transaction(func(tx *gorm.DB) error {
			_ = add(tx, 1)
			_ = tx.Transaction(func(tx *gorm.DB) error { _ = add(tx, 2); return errWanted })
			return add(tx, 3)
		})
	}, want: []uint{1, 3}},
	{name: "nested, inner panics", run: func(db *gorm.DB) error {
		return db.Transaction(func(tx *gorm.DB) error {
			_ = add(tx, 1)
			_ = panics(func() { _ = tx.Transaction(func(tx *gorm.DB) error { _ = add(tx, 2); panic("wanted") }) })
			return add(tx, 3)
		})
	}, want: []uint{1, 3}},
	{name: "nested twice, outer of them fails", run: func(db *gorm.DB) error {
		return db.Transaction(func(tx *gorm.DB) error {
			_ = tx.Transaction(func(tx *gorm.DB) error {
				_ = tx.Transaction(func(tx *gorm.DB) error { return add(tx, 1) })
				return errWanted
			})
			return add(tx, 2)
		})
	}, want: []uint{2}},
	{name: "nested, all commits", run: func(db *gorm.DB) error {
		return db.Transaction(func(tx *gorm.DB) error {
			_ = add(tx, 1)
			return tx.Transaction(func(tx *gorm.DB) error { return add(tx, 2) })
		})
	}, want: []uint{1, 2}},
	{name: "nesting disabled, the inner error is swallowed", run: func(db *gorm.DB) error {
		db = db.Session(&gorm.Session{DisableNestedTransaction: true})
		return db.Transaction(func(tx *gorm.DB) error {
			_ = tx.Transaction(func(tx *gorm.DB) error { _ = add(tx, 1); return errWanted })
			return add(tx, 2)
		})
	}, want: []uint{1, 2}},
	{name: "by hand, commit", run: func(db *gorm.DB) error {
		tx := db.Begin()
		return errors.Join(add(tx, 1), tx.Commit().Error)
	}, want: []uint{1}},
	{name: "by hand, rollback", run: func(db *gorm.DB) error {
		tx := db.Begin()
		return errors.Join(add(tx, 1), tx.Rollback().Error)
	}},
	{name: "by hand, rollback deferred behind the commit", run: func(db *gorm.DB) error {
		tx := db.Begin()
		defer tx.Rollback()
		return errors.Join(add(tx, 1), tx.Commit().Error)
	}, want: []uint{1}},
	{name: "by hand, commit twice", run: func(db *gorm.DB) error {
		tx := db.Begin()
		return errors.Join(add(tx, 1), tx.Commit().Error, tx.Commit().Error)
	}, want: []uint{1}, err: sql.ErrTxDone.Error()},
	{name: "savepoints by hand", run: func(db *gorm.DB) error {
		tx := db.Begin()
		_ = add(tx, 1)
		tx.SavePoint("a")
		_ = add(tx, 2)
		tx.SavePoint("b")
		_ = add(tx, 3)
		tx.RollbackTo("b")
		_ = add(tx, 4)
		tx.RollbackTo("b")
		_ = add(tx, 5)
		return tx.Commit().Error
	}, want: []uint{1, 2, 5}},
	{name: "savepoints of one name", run: func(db *gorm.DB) error {
		tx := db.Begin()
		tx.SavePoint("a")
		_ = add(tx, 1)
		tx.SavePoint("a")
		_ = add(tx, 2)
		tx.RollbackTo("a")
		return tx.Commit().Error
	}, want: []uint{1}},
	{name: "savepoints as SQL", run: func(db *gorm.DB) error {
		tx := db.Begin()
		_ = add(tx, 1)
		tx.Exec(`SAVEPOINT "s"`)
		_ = add(tx, 2)
		tx.Exec("  rollback transaction to S;")
		_ = add(tx, 3)
		tx.Exec("savepoint inner_one")
		_ = add(tx, 4)
		tx.Exec("RELEASE inner_one")
		tx.Exec("ROLLBACK TO SAVEPOINT inner_one") // fails: released
		return tx.Session(&gorm.Session{NewDB: true}).Commit().Error
	}, want: []uint{1, 3, 4}, only: "sqlite"},
	{name: "savepoints with comments", run: func(db *gorm.DB) error {
		tx := db.Begin()
		_ = add(tx, 1)
		tx.Exec("/* trace */ SAVEPOINT /* x */ a")
		_ = add(tx, 2)
		tx.Exec("SAVEPOINT b /*traceparent='" + strings.Repeat("0", 600) + "'*/")
		_ = add(tx, 3)
		tx.Exec("RELEASE SAVEPOINT b -- done")
		tx.Exec("-- trace\nROLLBACK /* x */ TO /* y */ SAVEPOINT a -- z")
		_ = add(tx, 4)
		return tx.Session(&gorm.Session{NewDB: true}).Commit().Error
	}, want: []uint{1, 4}},
	{name: "release frees an outer name", run: func(db *gorm.DB) error {
		tx := db.Begin()
		tx.SavePoint("a")
		_ = add(tx, 1)
		tx.SavePoint("b")
		_ = add(tx, 2)
		tx.Exec("RELEASE SAVEPOINT b")
		_ = add(tx, 3)
		tx.RollbackTo("a")
		_ = add(tx, 4)
		return tx.Commit().Error
	}, want: []uint{4}},
	{name: "context cancelled before commit", run: func(db *gorm.DB) error {
		ctx, cancel := context.WithCancel(context.Background())
		tx := db.WithContext(ctx).Begin()
		err := add(tx, 1)
		cancel()
		// database/sql rolls back beside us: either of them may be first
		if refused := tx.Commit().Error; errors.Is(refused, context.Canceled) || errors.Is(refused, sql.ErrTxDone) {
			err = errors.Join(err, errWanted)
		}
		return err
	}, err: "wanted"},
	{name: "context of a nested transaction cancelled", run: func(db *gorm.DB) error {
		return db.Transaction(func(tx *gorm.DB) error {
			ctx, cancel := context.WithCancel(context.Background())
			_ = tx.WithContext(ctx).Transaction(func(tx *gorm.DB) error { err := add(tx, 1); cancel(); return err })
			return add(tx, 2)
		})
	}, want: []uint{1, 2}},
	{name: "COMMIT fails", run: func(db *gorm.DB) error {
		return db.Transaction(func(tx *gorm.DB) error {
			return errors.Join(add(tx, 1), tx.Exec("INSERT INTO debts (task_id) VALUES (99)").Error)
		})
	}, err: "FOREIGN KEY", only: "sqlite"},
	{name: "COMMIT fails, a deferred constraint", run: func(db *gorm.DB) error {
		return db.Transaction(func(tx *gorm.DB) error {
			return errors.Join(add(tx, 1), tx.Exec("INSERT INTO debts (task_id) VALUES (99)").Error)
		})
	}, err: "23503", only: "postgres"},
	{name: "an aborted transaction", run: func(db *gorm.DB) error {
		return db.Transaction(func(tx *gorm.DB) error {
			_ = add(tx, 1)
			_ = add(tx, 1) // the database takes no more statements
			_ = add(tx, 2)
			return nil
		})
	}, err: "commit unexpectedly resulted in rollback", only: "postgres"},
	{name: "an aborted transaction, back to a savepoint", run: func(db *gorm.DB) error {
		return db.Transaction(func(tx *gorm.DB) error {
			_ = add(tx, 1)
			_ = tx.Transaction(func(tx *gorm.DB) error { return add(tx, 2, 2) })
			return add(tx, 3)
		})
	}, want: []uint{1, 3}},
	{name: "a statement fails, the transaction goes on", run: func(db *gorm.DB) error {
		return db.Transaction(func(tx *gorm.DB) error {
			_ = add(tx, 1)
			_ = add(tx, 1)
			return add(tx, 2)
		})
	}, want: []uint{1, 2}, only: "sqlite mysql"},
	{name: "session with prepared statements", run: func(db *gorm.DB) error {
		return db.Session(&gorm.Session{PrepareStmt: true}).Transaction(func(tx *gorm.DB) error {
			_ = add(tx, 1)
			_ = tx.Transaction(func(tx *gorm.DB) error { _ = add(tx, 2); return errWanted })
			return tx.Session(&gorm.Session{PrepareStmt: true}).Transaction(func(tx *gorm.DB) error { return add(tx, 3) })
		})
	}, want: []uint{1, 3}},
	{name: "WithContext, Session and Debug", run: func(db *gorm.DB) error {
		return db.WithContext(context.Background()).Transaction(func(tx *gorm.DB) error {
			return errors.Join(add(tx.WithContext(context.Background()), 1), add(tx.Session(&gorm.Session{NewDB: true}), 2), add(tx.Debug(), 3))
		})
	}, want: []uint{1, 2, 3}},
	{name: "generics", run: func(db *gorm.DB) error {
		ctx := context.Background()
		_ = db.Transaction(func(tx *gorm.DB) error {
			return errors.Join(gorm.G[Task](tx).Create(ctx, &Task{ID: 1}), errWanted)
		})
		return db.Transaction(func(tx *gorm.DB) error { return gorm.G[Task](tx).Create(ctx, &Task{ID: 2}) })
	}, want: []uint{2}},
	{name: "db.Connection, single writes", run: func(db *gorm.DB) error {
		return db.Connection(func(tx *gorm.DB) error { return add(tx.Session(&gorm.Session{}), 1) })
	}, want: []uint{1}},
}

// CommitMatrix holds every ending against what is announced, in every mode.
func CommitMatrix(t *testing.T, e Engine) {
	for mode, config := range modes {
		t.Run(mode, func(t *testing.T) {
			b := e.open(t, config, rohrpost.PluginConfig{})
			if e.SQL != "mysql" {
				require.NoError(t, b.db.Exec("CREATE TABLE debts (task_id INTEGER REFERENCES tasks(id) DEFERRABLE INITIALLY DEFERRED)").Error)
			}
			for _, ending := range endings {
				if ending.only != "" && !strings.Contains(ending.only, e.SQL) {
					continue
				}
				t.Run(ending.name, func(t *testing.T) {
					require.NoError(t, b.withoutNotify().Where("1 = 1").Delete(&Task{}).Error)
					err := ending.run(b.db)
					if ending.err == "" {
						require.NoError(t, err)
					} else {
						require.ErrorContains(t, err, ending.err)
					}
					want := []string{}
					for _, key := range ending.want {
						want = append(want, fmt.Sprintf(`create task-%d {"id":%d}`, key, key))
					}
					assert.Equal(t, want, b.take())
					var keys []uint
					require.NoError(t, b.db.Model(&Task{}).Order("id").Pluck("id", &keys).Error)
					assert.ElementsMatch(t, ending.want, keys, "the table is the oracle")
				})
			}
		})
	}
}

// add creates the tasks with these keys.
func add(tx *gorm.DB, keys ...uint) error {
	for _, key := range keys {
		if err := tx.Create(&Task{ID: key}).Error; err != nil {
			return err
		}
	}
	return nil
}
