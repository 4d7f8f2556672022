package capture

import (
	"context"
	"database/sql"
	"errors"

	"gorm.io/gorm"
)

// guard is a connection for statements of the plugin, or of a model's methods, in the
// caller's transaction. PostgreSQL aborts a transaction after any failed statement: there
// a savepoint is set before the first of them. It reaches the database beside the
// callbacks, so that the plugin does not take it for one of the caller.
type guard struct {
	gorm.ConnPool
	dialect dialect
	tx      gorm.Tx // in which a savepoint is needed; nil: none is
	isSet   bool
	isLast  bool // the transaction ends after the statement, and the savepoint with it
}

func newGuard(pool gorm.ConnPool, d dialect) guard {
	g := guard{ConnPool: pool, dialect: d}
	if tx, _ := trackedTxOf(pool); tx != nil && d.keyLocks {
		g.tx = tx.Tx
	}
	return g
}

// QueryContext implements gorm.ConnPool.
func (g *guard) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if err := g.set(ctx); err != nil {
		return nil, err
	}
	return g.ConnPool.QueryContext(ctx, query, args...)
}

// set sets the savepoint where one is needed.
func (g *guard) set(ctx context.Context) error {
	if g.tx == nil || g.isSet {
		return nil
	}
	_, err := g.tx.ExecContext(ctx, "SAVEPOINT rohrpost")
	g.isSet = err == nil
	return err
}

// end ends the statements, the last of which failed with err. It returns err if that has
// ended the caller's transaction.
func (g *guard) end(ctx context.Context, err error) error {
	ends := g.dialect.endsTransaction(err)
	if !g.isSet {
		if ends {
			return err
		}
		return nil
	}
	if !ends && g.isLast {
		return nil
	}
	if !ends {
		_, released := g.tx.ExecContext(ctx, "RELEASE SAVEPOINT rohrpost")
		if ends = g.dialect.endsTransaction(released); !ends {
			return nil
		}
		err = released
	}
	if _, failed := g.tx.ExecContext(ctx, "ROLLBACK TO SAVEPOINT rohrpost"); failed != nil {
		return err
	}
	return nil
}

// endedError is a failure of the plugin's own statement that has ended the caller's
// transaction.
type endedError struct{ error }

func (e endedError) Unwrap() error { return e.error }

// endOf returns the failure that has ended the caller's transaction, nil if it still runs.
func endOf(err error) error {
	if err == nil {
		return nil
	}
	var ended endedError
	if errors.As(err, &ended) {
		return ended.error
	}
	return nil
}

// becomeWriter makes the transaction the writer before it reads, if the database allows
// only one. Else another transaction could write in between, and both would fail.
func becomeWriter(stmt *gorm.Statement, pool gorm.ConnPool, d dialect) error {
	tx, err := trackedTxOf(pool)
	if tx == nil || err != nil || tx.isWriter.Load() {
		return err
	}
	statement := d.claim(stmt)
	if statement == "" {
		return nil
	}
	if _, err = pool.ExecContext(stmt.Context, statement); err == nil {
		tx.isWriter.Store(true)
	}
	return err
}
