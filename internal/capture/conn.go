package capture

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// statementConn stands in for the connection during one statement on a table of
// interest. It learns the rows of the statement without the caller or GORM noticing: a
// RETURNING clause in the statement itself would change the caller's RowsAffected and
// overwrite his model. It decides when the statement is about to run: by then the hooks
// have run, and the statement can no longer change.
type statementConn struct {
	gorm.ConnPool // the caller's, or an implicit transaction in it
	outer         gorm.ConnPool
	db            *gorm.DB
	table         *Table
	op            Operation
	publisher     *publisher
	givenSet      bool // the caller chose the SET clause himself, nothing was added to it

	dialect  dialect
	layout   *layout // nil where nothing is read
	plan     plan
	assigned clause.Set // what an update sets, with the names of the model
	set      []string   // the columns that the statement sets
	named    []string   // those that the caller named
	setsKey  bool
	moved    []Row         // with the keys that the rows will have, where the statement sets them
	values   reflect.Value // that an update sets, where the statement tells them
	upsert   *upsert
	guard    guard            // of the reads after the statement
	implicit gorm.TxCommitter // around the statement and the reads for it
	before   []Row
	after    []Row
	failure  error // why the rows are unknown

	space [8]string // most statements set few columns: no further allocations
	one   [1]Row    // and change one row
}

// newStatementConn returns nil where the statement needs no stand-in: for a plain create
// in a transaction, whose rows are in memory, and for a write whose rows the consumer does
// not want.
func newStatementConn(db *gorm.DB, t *Table, l *layout, op Operation, p *publisher, inTx bool) *statementConn {
	stmt := db.Statement
	wants := t.interest.Wants(stmt.Context, op)
	if op == Create {
		m, meets := meetingOf(stmt)
		switch {
		case meets || len(stmt.Schema.CreateClauses) > 0: // those GORM adds only when it builds the statement
			wants = m.wants(stmt.Context, t)
		case wants >= Keys && inTx && !createdDiffers(db, t, l):
			return nil
		}
	}
	if wants < Keys {
		return nil
	}
	w := &statementConn{ConnPool: stmt.ConnPool, outer: stmt.ConnPool, db: db, table: t, op: op, publisher: p, layout: l}
	_, w.givenSet = stmt.Clauses["SET"]
	return w
}

// behind implements standIn.
func (w *statementConn) behind() gorm.ConnPool { return w.ConnPool }

// ExecContext implements gorm.ConnPool.
func (w *statementConn) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	done := false
	defer func() {
		if !done { // a panic
			w.rollBackImplicit()
		}
	}()
	result, err := w.exec(ctx, query, args)
	done = true
	return result, err
}

func (w *statementConn) exec(ctx context.Context, query string, args []any) (sql.Result, error) {
	if !w.isOwn(query) {
		return w.ConnPool.ExecContext(ctx, query, args...)
	}
	if err := w.prepare(ctx); err != nil {
		return nil, err
	}
	if !w.plan.returning {
		return w.ConnPool.ExecContext(ctx, query, args...)
	}
	returning := w.dialect.returning(query, w.db.Statement, w.layout, w.plan.extent())
	rows, err := w.ConnPool.QueryContext(ctx, returning, args...)
	if err != nil {
		return w.execWithout(ctx, query, args, err)
	}
	scanned, count, err := scanRows(ctx, rows, w.table, w.layout, w.plan.extent(), w.one[:0])
	if isChangedTable(err) {
		return w.execWithout(ctx, query, args, err)
	}
	if err != nil {
		return nil, err
	}
	w.after = scanned
	if w.failure == nil {
		w.failure = missingRows(len(scanned), count)
	}
	return rowsAffected(count), nil
}

// QueryContext implements gorm.ConnPool. GORM calls it for a statement that already has
// RETURNING, of the caller or of a create.
func (w *statementConn) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	done := false
	defer func() {
		if !done {
			w.rollBackImplicit()
		}
	}()
	var rows *sql.Rows
	var err error
	if w.isOwn(query) {
		err = w.prepare(ctx)
	}
	if err == nil {
		rows, err = w.ConnPool.QueryContext(ctx, query, args...)
	}
	done = true
	return rows, err
}

// isOwn reports whether a text is the statement's own. GORM and others may use the
// connection for another one meanwhile.
func (w *statementConn) isOwn(query string) bool { return query == w.db.Statement.SQL.String() }

// prepare plans the statement and reads the rows before it. It returns only an error
// that the statement itself would meet.
func (w *statementConn) prepare(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			w.rollBackImplicit()
			w.failure = fmt.Errorf("prepare: panic: %v", p)
			w.plan.returning = false
		}
	}()
	w.plan = planFor(w.facts())
	w.failure = w.plan.failure
	if ended := endOf(w.failure); ended != nil {
		return ended
	}
	if w.plan.skip || w.failure != nil && !w.stores() {
		return nil
	}
	if err = w.beginImplicit(ctx); err != nil {
		return w.withoutImplicit(err)
	}
	if w.failure != nil {
		return nil
	}
	if !w.plan.readsBefore {
		return nil
	}
	if w.failure = becomeWriter(w.db.Statement, w.ConnPool, w.dialect); w.failure == nil && w.dialect.keyLocks && !w.layout.locks {
		w.failure = errLocks // the database would refuse the read, and end the transaction
	}
	if w.failure == nil {
		w.before, w.failure = w.readBefore()
	}
	if w.failure == nil {
		w.failure = w.followKeys(ctx)
	}
	if w.failure != nil && !errors.Is(w.failure, ErrManyRows) {
		return w.goOnWithout(ctx, w.failure)
	}
	return nil
}

// readBefore reads the rows that the statement will meet.
func (w *statementConn) readBefore() ([]Row, error) {
	if w.upsert != nil {
		return w.upsert.readBefore(w)
	}
	return w.readMet()
}

// missingRows returns an error where not all rows of a statement are known.
func missingRows(known, count int) error {
	switch {
	case count > maxRows:
		return ErrManyRows
	case known != count:
		return unreadRows(known, count)
	}
	return nil
}

func unreadRows(known, count int) error {
	return fmt.Errorf("%d of %d rows could not be read", count-known, count)
}

// rowsAffected is the sql.Result of a statement that was run with RETURNING.
type rowsAffected int64

func (n rowsAffected) LastInsertId() (int64, error) {
	return 0, errors.New("rohrpost: an update or delete has no insert id")
}

func (n rowsAffected) RowsAffected() (int64, error) { return int64(n), nil }
