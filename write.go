package rohrpost

import (
	"context"
	"database/sql"
	"database/sql/driver"
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
// and overwrite his model. All is decided when the statement is about to run:
// only then hooks have run, and nothing of it can change any more.
type write struct {
	gorm.ConnPool // the caller's, or our own transaction in it
	outer         gorm.ConnPool
	plugin        *plugin
	db            *gorm.DB
	model         *model
	op            operation
	given         bool // the caller chose the SET clause himself, nothing was added to it
	nothing       bool // an upsert leaves existing rows alone; a dialect may rewrite that

	fields    []string // the columns that the statement sets, as messages name them
	unheard   bool     // what it sets is not announced
	unchanged bool     // it says nothing of updates, only of rows that come and go
	moves     bool     // it may take rows from one group to another, or hide and show them
	setsKey   bool     // it may change keys
	whole     bool     // rows are needed, not only their keys

	returning bool // the statement is run with RETURNING
	reads     bool // rows are read before the statement
	rereads   bool // rows are read after it
	upsert    *upsert

	own    gorm.TxCommitter // our transaction around the statement and what is read for it
	before []row
	after  []row
	failed error // why the rows cannot be told

	one [1]row    // most statements write one row
	few [4]string // and few columns: no further allocations for them
}

var errManyRows = fmt.Errorf("the statement changes more than %d rows", maxRows)

// newWrite returns nil where the statement needs no stand-in: a plain create,
// whose rows are in memory, and a write that the model does not announce.
func (p *plugin) newWrite(db *gorm.DB, m *model, op operation) *write {
	stmt := db.Statement
	conflict, upserts := stmt.Clauses["ON CONFLICT"].Expression.(clause.OnConflict)
	updates := m.announces(updating) || len(m.soft) > 0 // which updates may hide and show
	switch {
	case op == creating && upserts && (m.announces(creating) || updates):
	case op == creating && !upserts && m.announces(creating) && createdDiffers(db, m):
	case op == updating && updates:
	case op == deleting && m.announces(deleting):
	default:
		return nil
	}
	w := &write{ConnPool: stmt.ConnPool, outer: stmt.ConnPool, plugin: p, db: db, model: m, op: op}
	w.nothing = conflict.DoNothing
	_, w.given = stmt.Clauses["SET"]
	return w
}

// ExecContext implements gorm.ConnPool.
func (w *write) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	done := false
	defer func() {
		if !done { // a panic: nobody else ends our transaction
			w.rollback()
		}
	}()
	result, err := w.exec(ctx, query, args)
	done = true
	return result, err
}

func (w *write) exec(ctx context.Context, query string, args []any) (sql.Result, error) {
	if err := w.prepare(ctx); err != nil {
		return nil, err
	}
	if !w.returning {
		return w.ConnPool.ExecContext(ctx, query, args...)
	}
	query += engineOf(w.db).returning(w.db.Statement, w.model, w.whole)
	rows, err := w.ConnPool.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	scanned, count, err := scanRows(ctx, rows, w.model, w.whole)
	if err != nil {
		return nil, err
	}
	w.after = scanned
	w.complete(len(scanned), count)
	return rowsAffected(count), nil
}

// QueryContext implements gorm.ConnPool: GORM calls it where RETURNING is in the
// statement already, the caller's own or that of a create.
func (w *write) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	done := false
	defer func() {
		if !done {
			w.rollback()
		}
	}()
	var rows *sql.Rows
	err := w.prepare(ctx)
	if err == nil {
		rows, err = w.ConnPool.QueryContext(ctx, query, args...)
	}
	done = true
	return rows, err
}

// prepare decides what has to be known, and reads what is known only now. An
// error is one that the statement itself would meet.
func (w *write) prepare(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			w.rollback()
			w.failed = fmt.Errorf("prepare: panic: %v", p)
			w.returning = false
		}
	}()
	if w.op == creating {
		w.planCreate()
	} else {
		w.plan()
	}
	if w.failed != nil || !w.reads && !w.rereads {
		return nil
	}
	if w.failed = w.begin(ctx); w.failed != nil || !w.reads {
		return nil
	}
	if w.failed = w.claim(ctx); w.failed != nil {
		return nil
	}
	if w.upsert != nil {
		w.failed = w.upsert.read(w)
	} else {
		w.failed = w.readBefore()
	}
	if w.failed != nil && !errors.Is(w.failed, errManyRows) {
		return w.giveUp(w.failed)
	}
	return nil
}

// plan decides for an update or a delete.
func (w *write) plan() {
	m, stmt := w.model, w.db.Statement
	var few [8]string
	set := w.setColumns(few[:0])
	w.fields = m.names(w.namedColumns(set))
	unscoped := len(m.soft) > 0 && stmt.Unscoped
	if w.op == deleting {
		w.whole = m.needsRow(deleting) || unscoped
	} else {
		w.setsKey = slices.ContainsFunc(set, m.isKey)
		w.moves = w.changesLife() || m.moves(set)
		w.unchanged = !m.wanted(set)
		w.unheard = w.unchanged && !w.moves
		w.whole = w.moves || m.needsRow(updating) || unscoped
	}
	keyed := !w.setsKey && single(stmt)
	if w.unheard || keyed && !w.whole {
		return
	}
	e := engineOf(w.db)
	_, asked := stmt.Clauses["RETURNING"]
	if w.removes() {
		w.returning = e.delete && !asked && !(e.duplicate && joined(stmt))
	} else {
		w.returning = e.update && !asked
	}
	w.whole = w.whole || len(m.schema.PrimaryFields) == 0
	w.reads = w.moves || !w.returning && (w.op == deleting || !keyed)
	w.rereads = !w.returning && w.op == updating && w.whole
	switch {
	case !e.known:
		w.failed = errUnknownRows
	case len(m.schema.PrimaryFields) == 0 && (w.moves || w.rereads):
		w.failed = errNoKey
	case w.setsKey && w.rereads:
		w.failed = errors.New("the statement changes keys")
	}
	if w.failed != nil {
		w.returning = false
	}
}

// removes reports whether the statement is a DELETE: a soft delete is an UPDATE.
func (w *write) removes() bool {
	_, sets := w.db.Statement.Clauses["SET"]
	return w.op == deleting && !sets
}

// single reports whether the statement can meet only the one row whose key is
// in memory.
func single(stmt *gorm.Statement) bool {
	return stmt.ReflectValue.Kind() == reflect.Struct && hasKey(stmt.Context, stmt.Schema, stmt.ReflectValue)
}

func joined(stmt *gorm.Statement) bool {
	from, _ := stmt.Clauses["FROM"].Expression.(clause.From)
	return len(from.Joins) > 0 || len(from.Tables) > 1
}

// setColumns lists what the statement sets, as GORM is about to write it.
func (w *write) setColumns(columns []string) []string {
	if w.op != updating {
		return nil
	}
	set, _ := w.db.Statement.Clauses["SET"].Expression.(clause.Set)
	for _, assignment := range set {
		columns = append(columns, assignment.Column.Name)
	}
	return columns
}

// namedColumns keeps what the caller set himself. The automatic update time is
// GORM's, not his, and the Save of a whole struct names no columns.
func (w *write) namedColumns(set []string) []string {
	stmt := w.db.Statement
	dest, isMap := stmt.Dest.(map[string]any)
	if w.op != updating || !isMap && slices.Equal(stmt.Selects, []string{"*"}) {
		return nil
	}
	columns := w.few[:0]
	for _, column := range set {
		field := stmt.Schema.FieldsByDBName[column]
		if field != nil && field.AutoUpdateTime > 0 && !w.given && dest[field.Name] == nil && dest[field.DBName] == nil {
			continue
		}
		columns = append(columns, column)
	}
	return columns
}

// changesLife reports whether an update may hide rows that are there or show
// those that a soft delete has hidden. Without Unscoped it meets only live rows,
// and a Save writes them live again.
func (w *write) changesLife() bool {
	set, _ := w.db.Statement.Clauses["SET"].Expression.(clause.Set)
	return slices.ContainsFunc(set, func(assignment clause.Assignment) bool {
		return w.model.isSoft(assignment.Column.Name) && (w.db.Statement.Unscoped || !isNull(assignment.Value))
	})
}

func isNull(value any) bool {
	if value == nil {
		return true
	}
	if v := reflect.ValueOf(value); v.IsZero() {
		return true
	}
	if valuer, ok := value.(driver.Valuer); ok {
		plain, err := valuer.Value()
		return err == nil && plain == nil
	}
	return false
}

// readBefore reads the rows that the statement will meet, by its own conditions,
// and holds them until the transaction ends.
func (w *write) readBefore() error {
	stmt, e := w.db.Statement, engineOf(w.db)
	q := reading(w.db, w.model, w.whole)
	clauses := w.db.Callback().Update().Clauses
	if w.removes() {
		clauses = w.db.Callback().Delete().Clauses
	}
	for _, name := range []string{"WHERE", "ORDER BY", "LIMIT"} {
		if given, ok := stmt.Clauses[name]; ok && slices.Contains(clauses, name) {
			q.Clauses[name] = given
		}
	}
	if from, ok := stmt.Clauses["FROM"].Expression.(clause.From); ok && slices.Contains(clauses, "FROM") {
		if !w.removes() && len(from.Tables) > 0 { // an UPDATE names its own table elsewhere
			from.Tables = append([]clause.Table{{Name: clause.CurrentTable}}, from.Tables...)
		}
		q.Clauses["FROM"] = clause.Clause{Name: "FROM", Expression: from}
	}
	if _, limited := q.Clauses["LIMIT"]; !limited {
		most := maxRows + 1
		q.AddClause(clause.Limit{Limit: &most})
	}
	q.Build("SELECT", "FROM", "WHERE", "ORDER BY", "LIMIT")
	q.SQL.WriteString(e.lock(q, w.setsKey))
	rows, count, err := queryRows(q, w.ConnPool, w.model, true)
	if err != nil {
		return err
	}
	w.before = rows
	w.complete(len(rows), count)
	return w.failed
}

// complete notes where not all rows of the statement are known.
func (w *write) complete(known, count int) {
	switch {
	case count > maxRows:
		w.failed = errManyRows
	case known != count:
		w.failed = fmt.Errorf("%d of %d rows could not be read", count-known, count)
	}
}

// rowsAffected is the sql.Result of a statement that was run with RETURNING.
type rowsAffected int64

func (n rowsAffected) LastInsertId() (int64, error) {
	return 0, errors.New("rohrpost: an update or delete has no insert id")
}

func (n rowsAffected) RowsAffected() (int64, error) { return int64(n), nil }
