package capture

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync"
	"sync/atomic"

	"gorm.io/gorm"
)

// ErrUntracked means that a transaction was begun where the plugin could not see it.
var ErrUntracked = errors.New("rohrpost: the transaction was begun out of the plugin's sight")

// trackedTx stands in for a *sql.Tx. It tells the consumer how the transaction ends.
// It must have no BeginTx method: GORM would begin default transactions in it.
type trackedTx struct {
	gorm.Tx
	consumer Consumer
	ctx      context.Context // of BeginTx; when done, database/sql rolls back
	db       *sql.DB

	isWriter atomic.Bool // it is the one that may write, on a database that has only one

	mu         sync.Mutex  // guards the fields below: a transaction may be used concurrently
	kept       Transaction // of the consumer; nil before its first use
	savepoints []savepoint
}

// savepoint is a name, and the consumer's mark when it was set.
type savepoint struct {
	name string
	mark int
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
	if t.kept == nil {
		t.kept = t.consumer.Begin(t.ctx)
	}
	return t.kept
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
	s := savepoint{name: name}
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
	t.savepoints = t.savepoints[:i+1]
}

// findSavepoint returns the index of the newest savepoint with the name, or -1.
func (t *trackedTx) findSavepoint(name string) int {
	for i := len(t.savepoints) - 1; i >= 0; i-- {
		if strings.EqualFold(t.savepoints[i].name, name) {
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
// the database. After sql.ErrTxDone another call has ended the transaction, and has
// told the consumer.
func (t *trackedTx) Commit() error {
	wasDone := t.ctx.Err() != nil
	err := t.Tx.Commit()
	switch {
	case err == nil:
		t.end(Committed)
	case errors.Is(err, sql.ErrTxDone):
	case !wasDone && !answered(err):
		t.end(InDoubt)
	default:
		t.end(RolledBack)
	}
	return err
}

// Rollback implements gorm.TxCommitter.
func (t *trackedTx) Rollback() error {
	err := t.Tx.Rollback()
	if !errors.Is(err, sql.ErrTxDone) {
		t.end(RolledBack)
	}
	return err
}

// end tells the consumer the outcome, once.
func (t *trackedTx) end(o Outcome) {
	t.mu.Lock()
	kept := t.kept
	t.kept, t.savepoints = nil, nil
	t.mu.Unlock()
	if kept != nil {
		kept.End(o)
	}
}
