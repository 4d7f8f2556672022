package rohrpost

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/rohrpost/rohrpost/internal/wire"
	"gorm.io/gorm"
)

// ErrUntracked is returned by AfterCommit and Notify on a transaction that was
// begun where the plugin could not see it: gorm.Open on a *sql.Tx, or Begin
// inside db.Connection.
var ErrUntracked = errors.New("rohrpost: the transaction was begun out of the plugin's sight")

// AfterCommit calls fn once the transaction of tx has committed, in order with
// the changes announced in it, and never if it, or the savepoint around, rolls
// back. Outside a transaction fn is called at once. fn runs on the goroutine
// that commits; a panic in it is logged. On a transaction that the plugin
// cannot see the error is ErrUntracked, without the plugin another one, and fn
// is never called.
func AfterCommit(tx *gorm.DB, fn func()) error {
	return afterCommit(tx, held{run: fn})
}

// Notify publishes changes once the transaction of tx has committed, in order
// with its other changes, and not at all if it rolls back; outside a
// transaction at once. It is the way to announce what GORM cannot see, raw SQL
// for one. Objects are encoded now. The errors are those of AfterCommit and of
// a change that cannot be encoded; then none of them is published.
func Notify(tx *gorm.DB, changes ...Change) error {
	waiting := make([]held, len(changes))
	for i, change := range changes {
		if err := (*wire.Change)(&change).Check(); err != nil {
			return err
		}
		object, err := wire.EncodeObject(change.Object)
		if err != nil {
			return err
		}
		change.Object = object
		change.UpdatedFields = slices.Clone(change.UpdatedFields)
		waiting[i] = held{change: wire.Change(change)}
	}
	return afterCommit(tx, waiting...)
}

// SQLTx returns the database/sql transaction behind tx, for libraries that want
// one: with the plugin in use, and with prepared statements anyway,
// tx.Statement.ConnPool is no *sql.Tx. It is false outside a transaction.
// Commit and roll back through GORM, or changes stay unannounced.
func SQLTx(tx *gorm.DB) (*sql.Tx, bool) {
	var pool any = tx.Statement.ConnPool
	for {
		switch p := pool.(type) {
		case *sql.Tx:
			return p, true
		case *transaction:
			pool = p.Tx
		case *gorm.PreparedStmtTX:
			pool = p.Tx
		default:
			return nil, false
		}
	}
}

func afterCommit(db *gorm.DB, waiting ...held) error {
	p, ok := db.Plugins[pluginName].(*plugin)
	if !ok {
		return errors.New("rohrpost: the plugin is not in use on this database handle")
	}
	tx, err := transactionOf(db.Statement.ConnPool)
	if err != nil {
		return err
	}
	if tx == nil {
		p.release(db.Statement.Context, waiting)
	} else {
		tx.hold(waiting...)
	}
	return nil
}

// transactionOf finds the transaction behind a statement's pool: nil outside a
// transaction, ErrUntracked in one that is not ours.
func transactionOf(pool gorm.ConnPool) (*transaction, error) {
	for {
		switch p := pool.(type) {
		case *transaction:
			return p, nil
		case *gorm.PreparedStmtTX: // GORM nests them
			pool = p.Tx
		case gorm.TxCommitter:
			return nil, ErrUntracked
		default:
			return nil, nil
		}
	}
}

// transaction stands in for a *sql.Tx: it holds what was announced in it until
// COMMIT succeeds. It must have no BeginTx method: GORM would begin default
// transactions in it.
type transaction struct {
	gorm.Tx
	plugin *plugin
	ctx    context.Context // of BeginTx; when done, database/sql rolls back
	db     *sql.DB

	claimed atomic.Bool // it is the one that may write, on a database that has only one

	mu      sync.Mutex // guards what follows: a transaction may be used concurrently
	waiting []held
	changes int // of those that wait
	marks   []mark
	netted  map[netKey]int // the place of the last change of each row; nil: not known
	flooded []string       // patterns of the groups of changes that are not kept; nil: all are

	recordings []*recording // of tests
}

// mark is a savepoint: its name, and how much was waiting when it was set.
type mark struct {
	name  string
	depth int
}

// GetDBConn implements gorm.GetDBConnector.
func (t *transaction) GetDBConn() (*sql.DB, error) {
	if t.db == nil {
		return nil, gorm.ErrInvalidDB
	}
	return t.db, nil
}

// Commit implements gorm.TxCommitter. Only a nil error means that the changes
// are there. sql.ErrTxDone means that another call ended the transaction, and
// what waits is that call's business.
func (t *transaction) Commit() error {
	wasDone := t.ctx.Err() != nil
	err := t.Tx.Commit()
	switch {
	case err == nil:
		t.release(t.take())
	case errors.Is(err, sql.ErrTxDone):
	case !wasDone && !refused(err):
		t.release(resyncs(t.take()))
	default:
		t.record(t.take(), false)
	}
	return err
}

func (t *transaction) release(waiting []held) {
	t.record(waiting, true)
	t.plugin.release(t.ctx, waiting)
}

// Rollback implements gorm.TxCommitter.
func (t *transaction) Rollback() error {
	err := t.Tx.Rollback()
	if !errors.Is(err, sql.ErrTxDone) {
		t.record(t.take(), false)
	}
	return err
}
