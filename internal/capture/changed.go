package capture

import (
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"gorm.io/gorm/clause"
)

var (
	errLateRows = errors.New("the statement changed other rows than were there before it")
	errClause   = errors.New("the statement has a clause that no read can have")
	errCursor   = errors.New("no read meets the row of a cursor")
)

// readMet reads the rows that an update or a delete will meet, by its own conditions,
// and holds them until the transaction ends.
func (w *statementConn) readMet() ([]Row, error) {
	stmt := w.db.Statement
	q := selectFrom(w.db, w.table, w.layout, w.plan.extent())
	clauses := w.db.Callback().Update().Clauses
	if w.removes() {
		clauses = w.db.Callback().Delete().Clauses
	}
	if slices.ContainsFunc(clauses, func(name string) bool { return stmt.Clauses[name].Expression != nil && !isReadable(name) }) {
		return nil, errClause
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
	q.Build("SELECT", "FROM", "WHERE", "ORDER BY", "LIMIT")
	if w.dialect.keyLocks && strings.Contains(strings.ToUpper(q.SQL.String()), "WHERE CURRENT OF ") {
		return nil, errCursor
	}
	q.SQL.WriteByte('\n')                           // a condition may end in a comment
	if _, limited := q.Clauses["LIMIT"]; !limited { // a literal: the statement may have all parameters that there can be
		q.SQL.WriteString(" LIMIT " + strconv.Itoa(maxRows+1))
	}
	q.SQL.WriteString(w.dialect.lock(q, w.setsKey))
	rows, count, err := queryRows(q, w.ConnPool, w.table, w.layout, w.plan.extent(), nil)
	if err != nil {
		return nil, err
	}
	return asBefore(rows), missingRows(len(rows), count)
}

// isReadable reports whether a read meets the same rows as a statement with the clause. A
// plugin may add others, such as WITH, which may write themselves.
func isReadable(name string) bool {
	switch name {
	case "UPDATE", "DELETE", "SET", "FROM", "WHERE", "ORDER BY", "LIMIT", "RETURNING":
		return true
	}
	return false
}

// fillChanged sets the rows of an update or a delete that are not compared.
func (w *statementConn) fillChanged(s *Statement) (err error) {
	rows := s.one[:]
	switch {
	case w.plan.returning:
		rows = w.after
	case w.plan.readsBefore:
		rows = sortRows(w.before) // a join meets a row several times
	default:
		rows[0] = newRow(s.Context, w.table, w.db.Statement.ReflectValue)
	}
	if !w.plan.returning && !w.isOfRows(rows) {
		return errLateRows
	}
	if w.plan.readsAfter {
		met := len(rows)
		if rows, err = selectRows(w.db, w.ConnPool, w.table, w.layout, rows, w.plan.extent()); err != nil {
			return err
		}
		if len(rows) != met {
			return unreadRows(len(rows), met)
		}
	}
	switch {
	case !w.plan.whole:
		for i := range rows {
			rows[i].Before, rows[i].After = reflect.Value{}, reflect.Value{}
		}
	case w.op == Delete && w.plan.returning:
		rows = w.deleted(rows)
	}
	s.Rows = sortRows(rows)
	return nil
}

// isOfRows reports whether the statement has written as many rows as there are, or fewer: an
// update need not change what it meets. A DELETE IGNORE of MySQL leaves rows that others
// refer to. The rows of the caller's own RETURNING are counted as his model takes them.
func (w *statementConn) isOfRows(rows []Row) bool {
	affected := w.db.RowsAffected
	if _, asked := w.db.Statement.Clauses["RETURNING"]; w.removes() && !asked {
		return affected == int64(len(rows))
	}
	return affected <= int64(len(rows))
}

// deleted turns the rows that a DELETE, or the UPDATE of a soft delete, has returned
// into the rows before it.
func (w *statementConn) deleted(rows []Row) []Row {
	if !w.db.Statement.Unscoped {
		for i := range rows {
			w.table.showAsLive(w.db.Statement.Context, rows[i].After)
		}
	}
	return asBefore(rows)
}

// fillCompared sets the rows of an update as they were and as they are. If no key was
// set, the database has not changed a row that is missing after the statement.
func (w *statementConn) fillCompared(s *Statement) (err error) {
	after := w.after
	if w.plan.readsAfter {
		keys := w.before
		if w.setsKey {
			keys = w.moved
		}
		if after, err = selectRows(w.db, w.ConnPool, w.table, w.layout, keys, neededColumns); err != nil {
			return err
		}
		if len(after) != len(keys) {
			return unreadRows(len(after), len(keys))
		}
	}
	s.Compared, s.Rows = true, slices.Grow(s.one[:0], len(after))
	before := sortRows(w.before)
	goesBefore := func() {
		if w.setsKey {
			s.Rows = append(s.Rows, before[0])
		}
		before = before[1:]
	}
	for _, row := range sortRows(after) {
		for len(before) > 0 && before[0].Key.compare(row.Key) < 0 {
			goesBefore()
		}
		if len(before) > 0 && before[0].Key.compare(row.Key) == 0 {
			row.Before, before = before[0].Before, before[1:]
		} else if !w.setsKey {
			err = errLateRows
			continue
		}
		s.Rows = append(s.Rows, row)
	}
	for len(before) > 0 {
		goesBefore()
	}
	if w.db.RowsAffected > int64(len(w.before)) {
		err = errLateRows
	}
	return err
}
