// Package capture turns GORM writes into rows that committed, and hands them to a
// Consumer. It knows no groups and no messages.
package capture

import (
	"context"

	"github.com/rohrpost/rohrpost/internal/wire"
	"gorm.io/gorm"
)

// Consumer uses the rows that statements write. Its methods may be called concurrently. A
// panic in Captured never reaches the caller's write. The other methods must not panic.
type Consumer interface {
	// Interest returns the consumer's interest in a table, nil for none. The plugin asks
	// once for each table, logs the error, and then calls Missed for each write.
	Interest(t *Table) (Interest, error)

	// Begin returns the consumer's part of one transaction, or of one statement outside a
	// transaction. The plugin calls it before the first Captured. s is the Store of the
	// database, nil for none.
	Begin(ctx context.Context, s Store) Transaction

	// Missed reports a statement that was not delivered. The error is ErrUntracked, a
	// ModelError or a panic.
	Missed(t *Table, op Operation, err error)
}

// ModelError is an error of Interest. The plugin has logged it.
type ModelError struct{ error }

// Interest is a consumer's interest in the writes to one table.
type Interest interface {
	// Wants returns the detail for statements of one kind.
	Wants(ctx context.Context, op Operation) Detail

	// WantsUpdate returns the detail for an update that sets the columns, at most that of
	// Wants. It also reports whether the consumer wants the rows before the update.
	WantsUpdate(set []string) (detail Detail, before bool)

	// Reads returns the columns that the consumer looks at, besides the key; nil: all.
	Reads() []string

	// Rereads tells when the plugin is to read again what the program has in memory.
	Rereads() Reread
}

// Reread tells when values in memory are not enough.
type Reread int

// The cases.
const (
	RereadLossy  Reread = iota // where the table may keep other values
	RereadNever                // nowhere; what the database computes is read nevertheless
	RereadAlways               // everywhere: triggers may change what is written
)

// Transaction collects the rows of one transaction until it ends. The plugin calls its
// methods in the order of the statements. Statements of one transaction may run
// concurrently.
type Transaction interface {
	// Captured takes the rows of a statement. It must not keep s or its Rows.
	Captured(s *Statement)

	// Overflowed reports whether the transaction takes no more rows. It then gets
	// ErrManyRows in their place.
	Overflowed() bool

	// Mark returns the place for a savepoint, 0 or more.
	Mark() int

	// RollBackTo drops the rows captured since the mark.
	RollBackTo(mark int)

	// Store stores what there is to publish in the Store of Begin, right before COMMIT. conn
	// is the connection of the transaction, nil outside of one. inDoubt means that the
	// transaction may have been rolled back already. After an error nothing is committed.
	// The plugin calls it only if Begin got a Store.
	Store(ctx context.Context, conn gorm.ConnPool, inDoubt bool) error

	// End ends the transaction. The plugin calls it in the order of the commits of each
	// row, after COMMIT: the consumer publishes the rows that are not stored before it
	// returns.
	End(o Outcome)

	// Finish is the last call. Later commits no longer wait for the transaction. If
	// overtaken, one of the same rows may have been published before it, for COMMIT took
	// long.
	Finish(overtaken bool)
}

// Store is where a consumer stores what the transactions on one database have written,
// before they commit: an outbox. Its methods may be called concurrently.
type Store interface {
	// Turn waits until the program may write to a database that has one writer at a time,
	// and returns the end of that. It returns nil where there is nothing to wait for.
	Turn(ctx context.Context) (end func())
}

// Detail is the detail in which a consumer wants a write.
type Detail int

// The details, each of which includes those before it.
const (
	Nothing Detail = iota
	Written        // that the table was written
	Keys           // which rows were written
	Values         // and the values that an update sets
	Columns        // and the values in their columns
)

// Operation is the kind of a write.
type Operation int

// The kinds of writes.
const (
	Create Operation = iota
	Update
	Delete
)

// String returns the type of the messages about such writes.
func (op Operation) String() string {
	switch op {
	case Create:
		return wire.Create
	case Update:
		return wire.Update
	}
	return wire.Delete
}

// Outcome is how a transaction ended.
type Outcome int

// The outcomes.
const (
	Committed  Outcome = iota
	RolledBack         // nothing has happened
	InDoubt            // the answer to the COMMIT was lost
)
