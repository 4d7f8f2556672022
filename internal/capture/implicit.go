package capture

import (
	"context"
	"errors"

	"gorm.io/gorm"
)

var errNoTransactions = errors.New("the connection begins no transactions")

// beginImplicit begins a transaction around a statement that has none, so that all reads
// for it are of one moment, and the commit order has a moment between the lock of a row and
// the commit. It lasts no longer than the statement.
func (w *statementConn) beginImplicit(ctx context.Context) error {
	tx, err := trackedTxOf(w.ConnPool)
	if tx != nil || err != nil {
		return err
	}
	beginner, ok := track(w.ConnPool, w.publisher).(gorm.ConnPoolBeginner)
	if !ok {
		return errNoTransactions
	}
	pool, err := beginner.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	w.ConnPool = pool
	w.implicit, _ = pool.(gorm.TxCommitter)
	return nil
}

// withoutImplicit decides about a statement whose transaction cannot be begun. Its rows are
// unknown, but a connection that begins none still tells the rows that need no reads. Where
// they would be stored in the transaction, the statement is refused.
func (w *statementConn) withoutImplicit(err error) error {
	begins := !errors.Is(err, errNoTransactions)
	if begins && !errors.Is(err, ErrUntracked) && w.stores() {
		return unstoredError(err)
	}
	if w.failure == nil && (begins || w.plan.readsBefore || w.op != Create && w.plan.readsAfter) {
		w.failure = err
	}
	return nil
}

// stores reports whether what the statement writes is stored in its transaction.
func (w *statementConn) stores() bool { return w.publisher.storeOfPool(w.outer) != nil }

// goOnWithout lets the statement run after a failed read, without the implicit
// transaction, or in a new one where what it writes is stored. If the failure has ended the
// caller's transaction, it is the statement's failure: a read locks what the statement
// locks.
func (w *statementConn) goOnWithout(ctx context.Context, reason error) error {
	if isChangedTable(reason) {
		w.table.forget(w.db.Statement) // the next write asks what columns there are
	}
	if w.implicit == nil && w.dialect.endsTransaction(reason) {
		return reason
	}
	w.plan.returning = false
	return w.beginAgain(ctx)
}

// beginAgain ends the implicit transaction, and begins another one where what the statement
// writes is stored in it.
func (w *statementConn) beginAgain(ctx context.Context) error {
	if w.implicit == nil {
		return nil
	}
	w.rollBackImplicit()
	if !w.stores() {
		return nil
	}
	if err := w.beginImplicit(ctx); err != nil {
		return unstoredError(err)
	}
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

// rollBackImplicit rolls the implicit transaction back. A failure says no more than the
// error of the statement.
func (w *statementConn) rollBackImplicit() {
	if w.implicit == nil {
		return
	}
	defer w.leaveImplicit()
	_ = w.implicit.Rollback()
}

// endsTransaction reports whether the transaction ends right after the statement: the
// implicit one does, and one that GORM has begun for it.
func (w *statementConn) endsTransaction() bool {
	_, begun := w.db.InstanceGet("gorm:started_transaction")
	return begun || w.implicit != nil
}

func (w *statementConn) leaveImplicit() { w.implicit, w.ConnPool = nil, w.outer }
