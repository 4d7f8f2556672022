package capture

import (
	"context"
	"errors"

	"gorm.io/gorm"
)

// beginImplicit begins a transaction around a statement that has none, so that all
// reads for it are of one moment. It lasts no longer than the statement.
func (w *statementConn) beginImplicit(ctx context.Context) error {
	tx, err := trackedTxOf(w.ConnPool)
	if tx != nil || err != nil {
		return err
	}
	beginner, ok := track(w.ConnPool, w.consumer).(gorm.ConnPoolBeginner)
	if !ok {
		return errors.New("the connection begins no transactions")
	}
	pool, err := beginner.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	w.ConnPool = pool
	w.implicit, _ = pool.(gorm.TxCommitter)
	return nil
}

// becomeWriter makes the transaction the writer before it reads, if the database allows
// only one. Else another transaction could write in between, and both would fail.
func (w *statementConn) becomeWriter(ctx context.Context) error {
	tx, err := trackedTxOf(w.ConnPool)
	if err != nil || tx.isWriter.Load() {
		return err
	}
	statement := w.dialect.claim(w.db.Statement, w.layout)
	if statement == "" {
		return nil
	}
	if _, err = w.ConnPool.ExecContext(ctx, statement); err == nil {
		tx.isWriter.Store(true)
	}
	return err
}

// goOnWithout lets the statement run after a failed read, without the implicit
// transaction. The read may have broken a transaction of the caller's. Then the
// statement fails with the reason.
func (w *statementConn) goOnWithout(reason error) error {
	if w.implicit == nil && w.dialect.keyLocks {
		return reason
	}
	w.rollBackImplicit()
	w.plan.returning = false
	return nil
}

// commitImplicit ends the implicit transaction, if there is one, and with it the
// statement.
func (w *statementConn) commitImplicit() error {
	if w.implicit == nil {
		return nil
	}
	defer w.leaveImplicit()
	return w.implicit.Commit()
}

// rollBackImplicit rolls the implicit transaction back.
func (w *statementConn) rollBackImplicit() {
	if w.implicit == nil {
		return
	}
	defer w.leaveImplicit()
	if err := w.implicit.Rollback(); err != nil {
		w.log.Error("rohrpost: roll back a failed statement", "model", w.table.Name, "error", err)
	}
}

func (w *statementConn) leaveImplicit() { w.implicit, w.ConnPool = nil, w.outer }
