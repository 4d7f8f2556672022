package capture

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strconv"

	"gorm.io/gorm/clause"
)

// readBefore reads the rows that the statement may meet, before it runs, and holds them
// until the transaction ends. Where a lock on absent rows would block others, it looks
// first which rows are there.
func (u *upsert) readBefore(w *statementConn) ([]Row, error) {
	if w.dialect.duplicate && !u.nothing {
		keys, err := u.presentKeys(w)
		if err != nil {
			return nil, err
		}
		rows, err := lockRows(w, keys)
		return asBefore(rows), err
	}
	lock := ""
	if w.dialect.keyLocks {
		lock = w.dialect.lock(w.db.Statement, u.setsKey)
	}
	rows, err := u.lookUp(w, lock)
	return asBefore(rows), err
}

// presentKeys returns the keys of the rows that are there.
func (u *upsert) presentKeys(w *statementConn) ([][]any, error) {
	if u.keyed {
		if list := integers(u.lookups[0].tuples); list != "" {
			return u.amongIntegers(w, list)
		}
	}
	rows, err := u.lookUp(w, "")
	return keysOf(w.db.Statement.Context, w.table, rows), err
}

// amongIntegers is presentKeys for elements whose keys are in a list of integers. As text,
// they cost a fraction of what parameters cost, and one statement.
func (u *upsert) amongIntegers(w *statementConn, list string) (keys [][]any, err error) {
	q := selectFrom(w.db, w.table, w.layout, keyColumns)
	q.Build("SELECT", "FROM")
	q.SQL.WriteString(" WHERE " + q.Quote(u.lookups[0].columns[0]) + " IN (" + list + ")")
	rows, count, err := queryRows(q, unprepared(w.ConnPool), w.table, w.layout, keyColumns, nil)
	if err == nil {
		err = missingRows(len(rows), count)
	}
	present := rowsByKey(rows)
	for _, tuple := range u.lookups[0].tuples {
		if text, _, _ := keyText(tuple[0]); present[text] != nil {
			keys = append(keys, tuple)
		}
	}
	return keys, err
}

// integers returns integers as a list in SQL, "" if there is anything else in the tuples.
func integers(tuples [][]any) string {
	var list []byte
	for _, tuple := range tuples {
		if len(tuple) != 1 {
			return ""
		}
		if len(list) > 0 {
			list = append(list, ',')
		}
		switch v := reflect.ValueOf(tuple[0]); {
		case v.Type().PkgPath() != "": // it may have methods
			return ""
		case v.CanInt():
			list = strconv.AppendInt(list, v.Int(), 10)
		case v.CanUint():
			list = strconv.AppendUint(list, v.Uint(), 10)
		default:
			return ""
		}
	}
	return string(list)
}

// lockRows reads rows by their keys, and holds them.
func lockRows(w *statementConn, present [][]any) (locked []Row, err error) {
	locked = make([]Row, 0, len(present))
	for keys := range slices.Chunk(present, keyedRows) {
		q := selectFrom(w.db, w.table, w.layout, w.upsert.extent())
		q.AddClause(clause.Where{Exprs: []clause.Expression{in(w.table.keyColumns(), keys)}})
		q.Build("SELECT", "FROM", "WHERE")
		q.SQL.WriteString(w.dialect.lock(w.db.Statement, false))
		known := len(locked)
		var count int
		locked, count, err = queryRows(q, w.ConnPool, w.table, w.layout, w.upsert.extent(), locked)
		if err == nil {
			err = missingRows(len(locked)-known, count)
		}
		if err != nil {
			return nil, err
		}
	}
	return sortRows(locked), nil
}

func (u *upsert) lookUp(w *statementConn, lock string) (found []Row, err error) {
	for _, lookup := range u.lookups {
		found = slices.Grow(found, len(lookup.tuples))
		for tuples := range slices.Chunk(lookup.tuples, keyedRows) {
			q := selectFrom(w.db, w.table, w.layout, w.upsert.extent())
			q.AddClause(clause.Where{Exprs: []clause.Expression{in(lookup.columns, tuples)}})
			q.Build("SELECT", "FROM", "WHERE")
			q.SQL.WriteString(lock)
			known := len(found)
			var count int
			if found, count, err = queryRows(q, w.ConnPool, w.table, w.layout, w.upsert.extent(), found); err != nil {
				return nil, err
			}
			if read := len(found) - known; read != count {
				return nil, unreadRows(read, count)
			}
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
	free, freeErr := u.readFree(w, s)
	before := rowsByKey(w.before)
	written := append(after, free...)
	late, err := u.late(w, written, before)
	gone := missingIn(rowsByKey(written), w.before) // the statement has replaced them, or set other keys
	switch {
	case !u.setsKey || len(gone) == 0:
	case w.dialect.xmax && len(late) == len(gone): // those are the rows with other keys
		late = nil
	case w.dialect.xmax || !u.follows:
		err = errors.Join(err, errNewKeys)
	}
	s.Rows = written[:0]
	for _, row := range written {
		old, met := before[row.Key.text]
		switch {
		case !met && late[row.Key.text]:
			err = errLateRows
			continue
		case !met:
		case u.nothing || !u.exact && isSame(s.Context, w.table, old.Before, row.After):
			continue
		default:
			row.Before = old.Before
		}
		s.Rows = append(s.Rows, row)
	}
	known, count := int64(len(s.Rows)+len(s.Keyless)), w.db.RowsAffected
	if u.exact && !u.nothing && w.dialect.xmax && known < count || u.nothing && u.leaves && known != count {
		err = unreadRows(int(known), int(count)) // the index takes for equal what the lookup does not, or the database has adjusted a key
	}
	if len(gone) > 0 {
		s.Rows = sortRows(append(s.Rows, gone...))
	}
	return errors.Join(err, freeErr)
}

func rowsByKey(rows []Row) map[string]*Row {
	byKey := make(map[string]*Row, len(rows))
	for i := range rows {
		byKey[rows[i].Key.text] = &rows[i]
	}
	return byKey
}

// missingIn returns the rows that are not among the known ones.
func missingIn(known map[string]*Row, rows []Row) (missing []Row) {
	for i := range rows {
		if known[rows[i].Key.text] == nil {
			missing = append(missing, rows[i])
		}
	}
	return missing
}

// readAfter returns the rows that the statement has written, or left alone.
func (u *upsert) readAfter(w *statementConn) (after []Row, err error) {
	if u.keyed && !u.nothing && !w.plan.whole || u.tells {
		after, err = rowsInMemory(nil, w.db, w.table, w.layout)
		if sorted := sortRows(after); err != nil || len(sorted) == u.count {
			return sorted, err
		} // else a key stands in several elements
	}
	if after, err = u.lookUp(w, ""); err != nil {
		return nil, err
	}
	moved := missingIn(rowsByKey(after), w.before) // the statement has changed the columns by which it met these rows
	more, err := selectRows(w.db, w.ConnPool, w.table, w.layout, moved, u.extent())
	return sortRows(append(after, more...)), err
}

// late finds the rows that the statement met though they were not there before: another
// transaction has created them meanwhile, or the database has made a key that was in use.
// PostgreSQL marks such rows.
func (u *upsert) late(w *statementConn, after []Row, before map[string]*Row) (keys map[string]bool, err error) {
	if !w.dialect.xmax || u.nothing || w.layout.relation != "table" {
		return nil, nil
	}
	created := missingIn(before, after)
	keys = map[string]bool{}
	for rows := range slices.Chunk(created, keyedRows) {
		q := selectFrom(w.db, w.table, w.layout, keyColumns)
		q.AddClause(clause.Where{Exprs: []clause.Expression{
			hasKeyOf(w.db.Statement.Context, w.table, rows),
			clause.Expr{SQL: q.Quote(clause.Column{Table: clause.CurrentTable, Name: "xmax"}) + "::text <> '0'"},
		}})
		q.Build("SELECT", "FROM", "WHERE")
		met, _, err := queryRows(q, w.ConnPool, w.table, w.layout, keyColumns, nil)
		if err != nil {
			return nil, err
		}
		for _, row := range met {
			keys[row.Key.text] = true
		}
	}
	return keys, nil
}

// readFree returns the rows of the elements that cannot have met a row. Their keys are in
// memory, unless GORM cannot assign the generated keys to the elements.
func (u *upsert) readFree(w *statementConn, s *Statement) ([]Row, error) {
	if len(u.free) == 0 {
		return nil, nil
	}
	if u.leaves && w.db.RowsAffected != int64(u.count) {
		return nil, errNewKeys // nor is it known which of them are rows
	}
	all, err := rowsInMemory(nil, w.db, w.table, w.layout)
	if err != nil {
		return nil, err
	}
	if len(all) != u.count {
		return nil, errors.New("the rows of the statement are not those in memory")
	}
	rows := make([]Row, len(u.free))
	for i, place := range u.free {
		rows[i] = all[place]
	}
	if !u.tellsKeys(w, all) {
		return nil, s.withoutKeys(w.layout, rows)
	}
	if createdDiffers(w.db, w.table, w.layout) {
		return selectCreated(w.db, w.ConnPool, w.table, w.layout, rows)
	}
	return rows, nil
}

// tellsKeys reports whether the elements that can have met no row have their keys in
// memory. GORM hands the keys that the statement returns to the elements without one,
// one after another. If it has returned the key of another element too, the key stands
// in two elements.
func (u *upsert) tellsKeys(w *statementConn, all []Row) bool {
	returned := returnsDefaults(w.db)
	for _, place := range u.free {
		if !tellsKey(w.db, w.table, !u.nothing && returned, all[place].After) {
			return false
		}
	}
	if len(u.lookups) == 0 {
		anyReturns := w.dialect.duplicate && returned // that combination returns all rows
		return !u.nothing || anyReturns || w.db.RowsAffected == int64(u.count)
	}
	if !returned {
		return false
	}
	keys := make(map[string]int, len(all))
	for i := range all {
		keys[all[i].Key.text]++
	}
	for _, place := range u.free {
		if keys[all[place].Key.text] > 1 {
			return false
		}
	}
	return true
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
