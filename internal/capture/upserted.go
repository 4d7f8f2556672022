package capture

import (
	"context"
	"errors"
	"reflect"
	"slices"

	"gorm.io/gorm/clause"
)

// readBefore reads the rows that the statement may meet, before it runs, and holds them
// until the transaction ends. Where a lock on absent rows would block others, it looks
// first which rows are there.
func (u *upsert) readBefore(w *statementConn) ([]Row, error) {
	lock := ""
	if w.dialect.keyLocks {
		lock = w.dialect.lock(w.db.Statement, false)
	}
	rows, err := u.lookUp(w, lock)
	if err == nil && w.dialect.duplicate && !u.nothing {
		rows, err = lockRows(w, rows)
	}
	return asBefore(rows), err
}

// lockRows reads rows again by their keys, and holds them.
func lockRows(w *statementConn, rows []Row) (locked []Row, err error) {
	for keys := range slices.Chunk(rows, keyedRows) {
		q := selectFrom(w.db, w.table, w.plan.whole)
		q.AddClause(clause.Where{Exprs: []clause.Expression{hasKeyOf(q.Context, w.table, keys)}})
		q.Build("SELECT", "FROM", "WHERE")
		q.SQL.WriteString(w.dialect.lock(w.db.Statement, false))
		found, count, err := queryRows(q, w.ConnPool, w.table, true)
		if err == nil {
			err = missingRows(len(found), count)
		}
		if err != nil {
			return nil, err
		}
		locked = append(locked, found...)
	}
	return sortRows(locked), nil
}

func (u *upsert) lookUp(w *statementConn, lock string) (found []Row, err error) {
	for _, lookup := range u.lookups {
		for tuples := range slices.Chunk(lookup.tuples, keyedRows) {
			q := selectFrom(w.db, w.table, w.plan.whole)
			q.AddClause(clause.Where{Exprs: []clause.Expression{in(lookup.columns, tuples)}})
			q.Build("SELECT", "FROM", "WHERE")
			q.SQL.WriteString(lock)
			rows, count, err := queryRows(q, w.ConnPool, w.table, true)
			if err != nil {
				return nil, err
			}
			if len(rows) != count {
				return nil, unreadRows(len(rows), count)
			}
			found = append(found, rows...)
		}
	}
	return sortRows(found), nil
}

// fillUpserted sets the rows before and after the statement.
func (u *upsert) fillUpserted(w *statementConn, s *Statement) error {
	after, err := u.readAfter(w)
	if err != nil {
		return err
	}
	before := make(map[string]*Row, len(w.before))
	for i := range w.before {
		before[w.before[i].Key.text] = &w.before[i]
	}
	created := slices.DeleteFunc(slices.Clone(after), func(row Row) bool { return before[row.Key.text] != nil })
	late, err := u.late(w, created)
	s.Rows = slices.Grow(s.one[:0], len(after))
	for _, row := range after {
		old := before[row.Key.text]
		switch {
		case old == nil && slices.Contains(late, row.Key.text):
			err = errLateRows
			continue
		case old == nil:
		case u.nothing || !u.exact && isSame(s.Context, w.table, old.Before, row.After):
			continue
		default:
			row.Before = old.Before
		}
		s.Rows = append(s.Rows, row)
	}
	return errors.Join(err, u.fillFree(w, s))
}

// readAfter returns the rows that the statement has written, or left alone.
func (u *upsert) readAfter(w *statementConn) (after []Row, err error) {
	if u.keyed && !u.nothing && !w.plan.whole {
		after, err = rowsInMemory(nil, w.db, w.table)
		return sortRows(after), err
	}
	if after, err = u.lookUp(w, ""); err != nil {
		return nil, err
	}
	moved := slices.DeleteFunc(slices.Clone(w.before), func(old Row) bool { // the statement has changed the columns by which it met the row
		return slices.ContainsFunc(after, func(row Row) bool { return row.Key.text == old.Key.text })
	})
	more, err := selectRows(w.db, w.ConnPool, w.table, moved)
	return sortRows(append(after, more...)), err
}

// late finds the rows that another transaction created between our read and the
// statement, so that the statement updated them. PostgreSQL marks such rows.
func (u *upsert) late(w *statementConn, created []Row) (keys []string, err error) {
	if !w.dialect.xmax || u.nothing {
		return nil, nil
	}
	for rows := range slices.Chunk(created, keyedRows) {
		q := selectFrom(w.db, w.table, false)
		q.AddClause(clause.Where{Exprs: []clause.Expression{
			hasKeyOf(w.db.Statement.Context, w.table, rows),
			clause.Expr{SQL: q.Quote(clause.Column{Table: clause.CurrentTable, Name: "xmax"}) + "::text <> '0'"},
		}})
		q.Build("SELECT", "FROM", "WHERE")
		met, _, err := queryRows(q, w.ConnPool, w.table, false)
		if err != nil {
			return nil, err
		}
		for _, row := range met {
			keys = append(keys, row.Key.text)
		}
	}
	return keys, nil
}

// fillFree adds the elements that cannot have met a row. Their keys are in memory,
// unless GORM cannot assign the generated keys to the elements.
func (u *upsert) fillFree(w *statementConn, s *Statement) error {
	if len(u.free) == 0 {
		return nil
	}
	mixed := len(u.lookups) > 0
	nothing := u.nothing && !(w.dialect.duplicate && w.dialect.insert) // that combination returns all rows
	if nothing && (mixed || w.db.RowsAffected != int64(u.count)) || mixed && !w.dialect.insert {
		return errors.New("the statement does not tell the keys of its rows")
	}
	all, err := rowsInMemory(nil, w.db, w.table)
	if err != nil || len(all) != u.count {
		return errors.Join(err, errors.New("the rows of the statement are not those in memory"))
	}
	rows := make([]Row, len(u.free))
	for i, place := range u.free {
		rows[i] = all[place]
	}
	if createdDiffers(w.db, w.table) {
		if rows, err = selectRows(w.db, w.ConnPool, w.table, rows); err != nil {
			return err
		}
	}
	s.Rows = append(s.Rows, rows...)
	return nil
}

// isSame reports whether a row has stayed as it was.
func isSame(ctx context.Context, t *Table, before, after reflect.Value) bool {
	for _, field := range t.schema.Fields {
		if field.DBName == "" {
			continue
		}
		was, _ := field.ValueOf(ctx, before)
		is, _ := field.ValueOf(ctx, after)
		if !reflect.DeepEqual(was, is) {
			return false
		}
	}
	return true
}
