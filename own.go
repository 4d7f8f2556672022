package rohrpost

import (
	"context"
	"errors"

	"gorm.io/gorm"
)

// begin puts a transaction of our own around a statement that has none: what is
// read for it must be of one moment. It lasts no longer than the statement.
func (w *write) begin(ctx context.Context) error {
	tx, err := transactionOf(w.ConnPool)
	if tx != nil || err != nil {
		return err
	}
	beginner, ok := w.plugin.track(w.ConnPool).(gorm.ConnPoolBeginner)
	if !ok {
		return errors.New("the connection begins no transactions")
	}
	pool, err := beginner.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	w.ConnPool = pool
	w.own, _ = pool.(gorm.TxCommitter)
	return nil
}

// claim makes the transaction the writer before it reads, where a database has
// only one: else another could write in between, and both would fail.
func (w *write) claim(ctx context.Context) error {
	tx, err := transactionOf(w.ConnPool)
	if err != nil || tx.claimed.Load() {
		return err
	}
	statement := engineOf(w.db).claim(w.db.Statement, w.model)
	if statement == "" {
		return nil
	}
	if _, err = w.ConnPool.ExecContext(ctx, statement); err == nil {
		tx.claimed.Store(true)
	}
	return err
}

// giveUp goes on after a failed reading: without our transaction. One of the
// caller's may be broken by it; then his statement fails with the reason.
func (w *write) giveUp(err error) error {
	if w.own == nil && engineOf(w.db).keyLocks {
		return err
	}
	w.rollback()
	w.returning = false
	return nil
}

// commit ends our transaction, if there is one, and with it the statement.
func (w *write) commit() error {
	if w.own == nil {
		return nil
	}
	defer w.release()
	return w.own.Commit()
}

// rollback undoes what our transaction did.
func (w *write) rollback() {
	if w.own == nil {
		return
	}
	defer w.release()
	if err := w.own.Rollback(); err != nil {
		w.plugin.log.Error("rohrpost: roll back a failed statement", "model", w.model.name, "error", err)
	}
}

func (w *write) release() { w.own, w.ConnPool = nil, w.outer }
