package capture

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/rohrpost/rohrpost/internal/panics"
	"gorm.io/gorm"
)

// ErrUntracked means that a transaction was begun where the plugin could not see it.
var ErrUntracked = errors.New("rohrpost: the transaction was begun out of the plugin's sight")

// trackedTx stands in for a *sql.Tx. It tells the consumer how the transaction ends.
// It must have no BeginTx method: GORM would begin default transactions in it.
type trackedTx struct {
	gorm.Tx
	publisher *publisher
	ctx       context.Context // of BeginTx; when done, database/sql rolls back
	db        *sql.DB
	stored    Store  // of the database; nil: none
	endTurn   func() // of the program on the database

	isWriter atomic.Bool // it is the one that may write, on a database that has only one

	mu         sync.Mutex  // guards the fields below: a transaction may be used concurrently
	kept       Transaction // of the consumer; nil before its first use
	savepoints []savepoint
	rows       []rowID // that its statements have written
	state      txState
	inDoubt    bool // it may have been rolled back already

	turn turn // of the first call of Commit
	one  [1]rowID
}

// txState is how far a transaction has come.
type txState int

const (
	running txState = iota
	committing
	committed
	notCommitted // rolled back, or the answer to the COMMIT was lost
)

// savepoint is a name, and what there was when it was set.
type savepoint struct {
	name string
	mark int // of the consumer
	rows int
}

// SQLTx returns the transaction of database/sql behind a statement's pool.
func SQLTx(pool gorm.ConnPool) (*sql.Tx, bool) {
	var current any = pool
	for {
		switch p := current.(type) {
		case *sql.Tx:
			return p, true
		case *trackedTx:
			current = p.Tx
		case *gorm.PreparedStmtTX:
			current = p.Tx
		default:
			return nil, false
		}
	}
}

// standIn is a pool that stands in for another one during a statement.
type standIn interface{ behind() gorm.ConnPool }

// trackedTxOf finds the transaction behind a statement's pool: nil outside a
// transaction, ErrUntracked in one that is not ours.
func trackedTxOf(pool gorm.ConnPool) (*trackedTx, error) {
	for {
		switch p := pool.(type) {
		case *trackedTx:
			return p, nil
		case standIn: // another statement runs meanwhile
			pool = p.behind()
		case *gorm.PreparedStmtTX: // GORM nests them
			pool = p.Tx
		case gorm.TxCommitter:
			return nil, ErrUntracked
		default:
			return nil, nil
		}
	}
}

// transaction returns the consumer's part of the transaction.
func (t *trackedTx) transaction() Transaction {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.keep()
}

// keep is transaction for a caller that holds mu.
func (t *trackedTx) keep() Transaction {
	if t.kept == nil {
		t.kept = t.publisher.consumer.Begin(t.ctx, t.stored)
	}
	return t.kept
}

// wrote notes the rows that a statement has written.
func (t *trackedTx) wrote(s *Statement) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rows == nil {
		t.rows = t.one[:0]
	}
	t.rows = s.appendIDs(t.rows)
}

// add calls f with the consumer's part of the transaction. It returns false if the
// transaction has committed, and sql.ErrTxDone if it has not.
func (t *trackedTx) add(rows []rowID, f func(Transaction)) (added bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.state == committed:
		return false, nil
	case t.state == notCommitted, t.state == running && t.ctx.Err() != nil: // then database/sql rolls back
		return false, sql.ErrTxDone
	}
	f(t.keep())
	for _, row := range rows {
		t.rows = appendID(t.rows, row)
	}
	return true, nil
}

// doubt lets a COMMIT without an error be in doubt.
func (t *trackedTx) doubt() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inDoubt = true
}

// overflowed reports whether the consumer takes no more rows.
func (t *trackedTx) overflowed() bool {
	t.mu.Lock()
	kept := t.kept
	t.mu.Unlock()
	return kept != nil && kept.Overflowed()
}

// setSavepoint notes a savepoint.
func (t *trackedTx) setSavepoint(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := savepoint{name: name, rows: len(t.rows)}
	if t.kept != nil {
		s.mark = t.kept.Mark()
	}
	t.savepoints = append(t.savepoints, s)
}

// releaseSavepoint forgets a savepoint and those after it.
func (t *trackedTx) releaseSavepoint(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := t.findSavepoint(name); i >= 0 {
		t.savepoints = t.savepoints[:i]
	}
}

// rollBackTo drops the rows captured since a savepoint. The savepoint stays.
func (t *trackedTx) rollBackTo(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.findSavepoint(name)
	if i < 0 {
		return
	}
	if t.kept != nil {
		t.kept.RollBackTo(t.savepoints[i].mark)
	}
	t.rows = t.rows[:t.savepoints[i].rows]
	t.savepoints = t.savepoints[:i+1]
}

// findSavepoint returns the index of the newest savepoint with the name, or -1.
func (t *trackedTx) findSavepoint(name string) int {
	for i := len(t.savepoints) - 1; i >= 0; i-- {
		if t.savepoints[i].name == name {
			return i
		}
	}
	return -1
}

// GetDBConn implements gorm.GetDBConnector.
func (t *trackedTx) GetDBConn() (*sql.DB, error) {
	if t.db == nil {
		return nil, gorm.ErrInvalidDB
	}
	return t.db, nil
}

// Commit implements gorm.TxCommitter. Only a nil error means that the changes are in
// the database. Whatever happens, even a panic, the transaction leaves the commit order.
// What is stored in the transaction needs no place in it: the Store has the order.
func (t *trackedTx) Commit() error {
	if !t.beginCommit() {
		return sql.ErrTxDone
	}
	outcome := RolledBack
	defer func() {
		kept, outcome := t.finish(outcome)
		t.publisher.end(kept, &t.turn, outcome)
	}()
	stored, err := t.store()
	if err != nil {
		_ = t.Tx.Rollback()
		return err
	}
	if !stored {
		t.enterOrder()
	}
	wasDone := t.ctx.Err() != nil
	err = t.Tx.Commit()
	switch {
	case err == nil:
		outcome = Committed
	case !wasDone && !errors.Is(err, sql.ErrTxDone) && !answered(err):
		outcome = InDoubt
	}
	return err
}

// beginCommit returns false where another call is ending the transaction, or has ended
// it.
func (t *trackedTx) beginCommit() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state != running {
		return false
	}
	t.state = committing
	return true
}

// enterOrder enters the commit order.
func (t *trackedTx) enterOrder() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.publisher.order.enter(&t.turn, t.rows)
}

// Rollback implements gorm.TxCommitter. After sql.ErrTxDone another call has ended the
// transaction, and has told the consumer.
func (t *trackedTx) Rollback() error {
	err := t.Tx.Rollback()
	if !errors.Is(err, sql.ErrTxDone) {
		kept, _ := t.finish(RolledBack)
		t.publisher.end(kept, nil, RolledBack)
	}
	return err
}

// finish ends the tracking. It returns the consumer's part, once, and its outcome.
func (t *trackedTx) finish(o Outcome) (Transaction, Outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if o == Committed && t.inDoubt {
		o = InDoubt
	}
	kept := t.kept
	t.kept, t.savepoints, t.rows = nil, nil, nil
	t.endTurn()
	if t.state = notCommitted; o == Committed {
		t.state = committed
	}
	return kept, o
}

// store lets the consumer store what the transaction has written, on its own connection.
// It reports whether it has. A transaction that has ended already, or was aborted, goes on
// to its COMMIT, which tells the caller.
func (t *trackedTx) store() (stored bool, err error) {
	t.mu.Lock()
	kept, inDoubt := t.kept, t.inDoubt
	t.mu.Unlock()
	if kept == nil || t.stored == nil {
		return false, nil
	}
	err = panics.Guard(func() error { return kept.Store(t.ctx, t.Tx, inDoubt) })
	const aborted = "25P02"
	switch {
	case err == nil:
		return true, nil
	case sqlState(err) == aborted, errors.Is(err, sql.ErrTxDone), t.ctx.Err() != nil:
		return false, nil
	}
	return false, unstoredError(err)
}
