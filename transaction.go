package rohrpost

import (
	"database/sql"
	"errors"
	"slices"

	"github.com/rohrpost/rohrpost/internal/capture"
	"github.com/rohrpost/rohrpost/internal/notify"
	"github.com/rohrpost/rohrpost/internal/wire"
	"gorm.io/gorm"
)

// ErrUntracked is returned by AfterCommit and Notify on a transaction that was
// begun where the plugin could not see it: gorm.Open on a *sql.Tx, or Begin
// inside db.Connection.
var ErrUntracked = capture.ErrUntracked

// AfterCommit calls fn once the transaction of tx has committed and its changes are
// published, and never if it, or the savepoint around, rolls back. Outside a transaction,
// and after one that has committed, it calls fn at once. The functions of a transaction
// run in their order on the goroutine that commits. A panic in one is logged. The error is
// ErrUntracked on a transaction that the plugin cannot see, sql.ErrTxDone after a rollback,
// the end of the context or a COMMIT that failed, and another one without the plugin. Then fn is never called.
func AfterCommit(tx *gorm.DB, fn func()) error {
	return afterCommit(tx, false, func(kept *notify.Tx) { kept.AfterCommit(fn) })
}

// Notify publishes changes once the transaction of tx has committed, in order
// with its other changes, and not at all if it rolls back. Outside a transaction, and
// after one that has committed, it publishes them at once, behind the COMMITs that are under
// way. It waits for these at most one second. Use it to announce what GORM cannot see, such as raw SQL.
// Notify encodes the objects before it returns. The changes have the origin of the context of tx. The errors are those of AfterCommit and
// of a change that cannot be encoded. Then none of the changes is published.
func Notify(tx *gorm.DB, changes ...Change) error {
	encoded := make([]wire.Change, len(changes))
	for i := range changes {
		change := (*wire.Change)(&changes[i])
		if err := change.Check(); err != nil {
			return err
		}
		object, err := wire.EncodeObject(change.Object)
		if err != nil {
			return err
		}
		encoded[i] = *change
		encoded[i].Object, encoded[i].UpdatedFields = object, slices.Clone(change.UpdatedFields)
		encoded[i].Mark(notify.OriginOf(tx.Statement.Context))
	}
	return afterCommit(tx, true, func(kept *notify.Tx) { kept.Add(encoded) })
}

// SQLTx returns the database/sql transaction behind tx, for libraries that want
// one: with the plugin in use, and with prepared statements anyway,
// tx.Statement.ConnPool is no *sql.Tx. It returns false outside a transaction.
// Commit and roll back through GORM, or changes stay unannounced.
func SQLTx(tx *gorm.DB) (*sql.Tx, bool) { return capture.SQLTx(tx.Statement.ConnPool) }

// afterCommit calls add with the changes that wait for the transaction of a handle.
// publishes means that it adds changes.
func afterCommit(db *gorm.DB, publishes bool, add func(*notify.Tx)) error {
	p := capture.PluginOf(db)
	if p == nil {
		return errors.New("rohrpost: the plugin is not in use on this database handle")
	}
	return p.InTransaction(db, publishes, func(kept capture.Transaction) { add(kept.(*notify.Tx)) })
}
