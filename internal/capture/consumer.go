// Package capture turns what GORM writes into changes of rows that committed. It
// knows rows, and hands them to a Consumer.
package capture

import (
	"context"

	"github.com/rohrpost/rohrpost/internal/wire"
)

// Consumer makes something of the rows that statements write. Its methods may be
// called concurrently. A panic in Captured or End never reaches the caller's write.
type Consumer interface {
	// Interest returns what the consumer wants to know of the writes to a table, nil
	// for nothing. The plugin asks once for each table, and logs the error.
	Interest(t *Table) (Interest, error)

	// Begin returns what the consumer keeps of one transaction, or of one statement
	// outside a transaction. The plugin calls it before the first Captured.
	Begin(ctx context.Context) Transaction

	// Missed reports a statement that the consumer is not told of. The error is
	// ErrUntracked or a panic.
	Missed(t *Table, op Operation, err error)
}

// Interest is what a consumer wants to know of the writes to one table.
type Interest interface {
	// Wants returns the detail for statements of one kind.
	Wants(ctx context.Context, op Operation) Detail

	// WantsUpdate returns the detail for an update that sets the columns, at most that
	// of Wants, and whether the consumer wants the rows before it too.
	WantsUpdate(set []string) (detail Detail, before bool)
}

// Transaction is what a consumer keeps of one transaction until it ends. The plugin
// calls its methods in the order of the statements; statements of one transaction
// may run concurrently.
type Transaction interface {
	// Captured tells of a statement. The consumer must not keep s or its Rows.
	Captured(s *Statement)

	// Overflowed reports whether the consumer keeps no more rows. It is then told
	// ErrManyRows instead.
	Overflowed() bool

	// Mark returns the place of a savepoint, 0 or more.
	Mark() int

	// RollBackTo drops what was kept since the mark.
	RollBackTo(mark int)

	// End is the last call.
	End(o Outcome)
}

// Detail is how much a consumer wants to know of a write.
type Detail int

// The details, each of which includes those before it.
const (
	Nothing Detail = iota
	Written        // that the table was written
	Keys           // which rows were written
	Columns        // and what is in them
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
