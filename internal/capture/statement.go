package capture

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	"gorm.io/gorm"
)

// maxRows is the most rows of one statement that the plugin reads.
const maxRows = 10_000

// ErrManyRows is the reason why rows are unknown: the statement changes too many.
var ErrManyRows = fmt.Errorf("the statement changes more than %d rows", maxRows)

// Statement holds the rows of one table that one statement has written.
type Statement struct {
	Context   context.Context
	Table     *Table
	Operation Operation

	// Set lists the columns that an update, or an upsert of an existing row, sets.
	Set []string

	// Named lists those of them that the caller named. It is nil where he named none,
	// as in a Save, and stays valid after Captured.
	Named []string

	// Compared means that the rows of an update have both a Before and an After, unless
	// they were or are not there. Rows that an upsert met always have both.
	Compared bool

	// SetsKey means that an update may change keys. A row whose key it has changed is
	// two rows.
	SetsKey bool

	// Rows are in the order of their keys.
	Rows []Row

	// Values is a struct with the columns that an update sets, as the table keeps them. It
	// is valid where the consumer wanted Values, and the Rows are known by their keys.
	Values reflect.Value

	// Keyless holds rows that were created, and whose keys are unknown.
	Keyless []Row

	// Unknown says why Rows lack rows that the statement has written. It is nil if they
	// lack none.
	Unknown error

	db        *gorm.DB      // of the statement
	pool      gorm.ConnPool // its connection
	ended     error         // the failure that has ended the caller's transaction
	tableName string        // in the order of commits, "" if it is not known
	rowless   bool          // the consumer did not want the rows

	one [1]Row // most statements write one row: no further allocation for it
}

// Row is one row that a statement has written, as far as it is known. Where the
// consumer wants only keys, only Key can be relied on.
type Row struct {
	Key    Key
	Before reflect.Value // a struct, addressable; not valid: not known, or not there
	After  reflect.Value // the same
}

// newRow returns the row as it is now.
func newRow(ctx context.Context, t *Table, value reflect.Value) Row {
	return Row{Key: keyOf(ctx, t.schema.PrimaryFields, t.encoders, value), After: value}
}

// value returns the row as it is or, where that is not known, as it was.
func (r *Row) value() reflect.Value {
	if r.After.IsValid() {
		return r.After
	}
	return r.Before
}

// asBefore turns rows as they were read into rows as they were before the statement.
func asBefore(rows []Row) []Row {
	for i := range rows {
		rows[i].Before, rows[i].After = rows[i].After, reflect.Value{}
	}
	return rows
}

// sortRows orders rows by their keys, and leaves a row only once.
func sortRows(rows []Row) []Row {
	if len(rows) < 2 {
		return rows
	}
	slices.SortStableFunc(rows, func(a, b Row) int { return a.Key.compare(b.Key) })
	return slices.CompactFunc(rows, func(a, b Row) bool { return a.Key.json != "" && a.Key.text == b.Key.text })
}
