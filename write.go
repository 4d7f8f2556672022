package rohrpost

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// write stands in for the connection during one statement on a marked model. It
// learns what the statement does without the caller or GORM noticing: adding a
// RETURNING clause to the caller's own statement would change his RowsAffected
// and overwrite his model.
type write struct {
	gorm.ConnPool
	stmt *gorm.Statement

	model     *model
	op        operation
	returning string // what is appended to the statement; empty where the rows are known
	given     bool   // the caller chose the SET clause himself, nothing was added to it

	fields  []string        // the columns that the statement sets
	rows    []reflect.Value // what RETURNING brought
	failed  error           // why rows is not complete
	upserts *upsert         // a create that may meet existing rows

	one [1]reflect.Value // most statements write one row
	few [4]string        // and few columns: no further allocations for them
}

var errUnknownRows = errors.New("the rows of the statement cannot be known on this database")

// newWrite returns nil where the statement needs no stand-in: a plain create,
// whose rows are in memory, and a write that the model does not announce.
func newWrite(db *gorm.DB, m *model, op operation) *write {
	stmt := db.Statement
	conflict, upserts := stmt.Clauses["ON CONFLICT"].Expression.(clause.OnConflict)
	if op == creating && !upserts || op != creating && m.groups[op] == nil {
		return nil
	}
	w := &write{ConnPool: stmt.ConnPool, stmt: stmt, model: m, op: op}
	if op == creating {
		w.upserts = newUpsert(db, m, conflict)
		return w
	}
	_, w.given = stmt.Clauses["SET"]
	_, returns := stmt.Clauses["RETURNING"]
	if !returns && (m.needsRow(op) || !single(stmt)) {
		w.returning, w.failed = returningClause(db, m, op)
	}
	return w
}

// single reports whether the statement can meet only the one row whose key is
// in memory.
func single(stmt *gorm.Statement) bool {
	return stmt.ReflectValue.Kind() == reflect.Struct && hasKey(stmt.Context, stmt.Schema, stmt.ReflectValue)
}

// returningClause asks for the whole row where it is needed: "*" is what the
// table has, while the model may have fields that are no columns.
func returningClause(db *gorm.DB, m *model, op operation) (string, error) {
	clauses := db.Callback().Update().Clauses // a soft delete is one too
	if op == deleting && (db.Statement.Unscoped || len(m.schema.DeleteClauses) == 0) {
		clauses = db.Callback().Delete().Clauses
	}
	// The dialect of MariaDB lists RETURNING also for UPDATE, which has none.
	if !slices.Contains(clauses, "RETURNING") || db.Name() == "mysql" {
		return "", errUnknownRows
	}
	if m.needsRow(op) {
		return " RETURNING *", nil
	}
	returning := " RETURNING "
	for i, field := range m.schema.PrimaryFields {
		if i > 0 {
			returning += ","
		}
		returning += db.Statement.Quote(clause.Column{Name: field.DBName})
	}
	if len(m.schema.PrimaryFields) == 0 {
		return "", errNoKey
	}
	return returning, nil
}

// ExecContext implements gorm.ConnPool: it runs the statement of an update or a
// delete, and reads the rows where they are asked for.
func (w *write) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	w.fields = w.setColumns()
	if w.returning == "" {
		return w.ConnPool.ExecContext(ctx, query, args...)
	}
	rows, err := w.ConnPool.QueryContext(ctx, query+w.returning, args...)
	if err != nil {
		return nil, err
	}
	scanned, count, err := scanRows(ctx, rows, w.model.schema)
	if err != nil {
		return nil, err
	}
	w.rows = scanned
	if len(scanned) != count {
		w.failed = fmt.Errorf("%d of %d rows could not be read", count-len(scanned), count)
	}
	return rowsAffected(count), nil
}

// QueryContext implements gorm.ConnPool: GORM calls it where the caller asked
// for RETURNING himself.
func (w *write) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	w.fields = w.setColumns()
	return w.ConnPool.QueryContext(ctx, query, args...)
}

// setColumns lists what the caller set, as GORM is about to write it: hooks
// have run. The automatic update time is GORM's, not his, and the Save of a
// whole struct names no columns.
func (w *write) setColumns() []string {
	set, ok := w.stmt.Clauses["SET"].Expression.(clause.Set)
	if !ok || w.op != updating {
		return nil
	}
	dest, isMap := w.stmt.Dest.(map[string]any)
	if !isMap && slices.Equal(w.stmt.Selects, []string{"*"}) {
		return nil
	}
	columns := w.few[:0]
	for _, assignment := range set {
		field := w.stmt.Schema.FieldsByDBName[assignment.Column.Name]
		if field != nil && field.AutoUpdateTime > 0 && !w.given && dest[field.Name] == nil && dest[field.DBName] == nil {
			continue
		}
		columns = append(columns, assignment.Column.Name)
	}
	return columns
}

// written returns the rows that the statement changed. db is the statement's
// handle after it ran, with its own connection again.
func (w *write) written(db *gorm.DB) ([]reflect.Value, error) {
	switch {
	case w.returning != "" || w.failed != nil:
		return w.rows, w.failed
	case w.stmt.Clauses["RETURNING"].Expression == nil:
		w.one[0] = w.stmt.ReflectValue
		return w.one[:], nil
	}
	// The caller's own RETURNING filled his model.
	rows := elements(nil, w.stmt.ReflectValue)
	for _, row := range rows {
		if !hasKey(w.stmt.Context, w.model.schema, row) {
			return nil, errors.New("the statement's own RETURNING does not name the primary key")
		}
	}
	asked, _ := w.stmt.Clauses["RETURNING"].Expression.(clause.Returning)
	switch {
	case !w.model.needsRow(w.op) || len(asked.Columns) == 0:
		return rows, nil
	case w.op == deleting:
		return nil, errors.New("the statement's own RETURNING does not name every column")
	}
	return selectRows(db, w.model, rows)
}

// rowsAffected is the sql.Result of a statement that was run with RETURNING.
type rowsAffected int64

func (n rowsAffected) LastInsertId() (int64, error) {
	return 0, errors.New("rohrpost: an update or delete has no insert id")
}

func (n rowsAffected) RowsAffected() (int64, error) { return int64(n), nil }
