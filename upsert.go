package rohrpost

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"
)

// upsert tells what an INSERT … ON CONFLICT does to each row. Save of an
// unknown key and the saving of associations are such creates too. The rows that
// it may meet are read before and after it: what was not there was created.
type upsert struct {
	nothing bool     // an existing row stays as it is
	exact   bool     // an existing row is updated whenever it is met
	lookups []lookup // where existing rows may be met
	free    []int    // elements that can meet no row, because they name none
	keyed   bool     // all elements name their keys, and only by them rows are met
	count   int      // of the elements
}

// lookup is a set of unique columns, and the values that the elements have there.
type lookup struct {
	columns []clause.Column
	tuples  [][]any
}

// planCreate decides for a create.
func (w *write) planCreate() {
	stmt := w.db.Statement
	conflict, upserts := stmt.Clauses["ON CONFLICT"].Expression.(clause.OnConflict)
	values, _ := stmt.Clauses["VALUES"].Expression.(clause.Values)
	if !upserts {
		w.rereads = true
		return
	}
	e := engineOf(w.db)
	conflict.DoNothing = w.nothing
	w.upsert = newUpsert(w.model, conflict, values, e.duplicate)
	var set []string
	for _, assignment := range conflict.DoUpdates {
		set = append(set, assignment.Column.Name)
	}
	if !conflict.UpdateAll {
		w.fields = w.model.names(slices.DeleteFunc(slices.Clone(set), func(column string) bool {
			field := stmt.Schema.FieldsByDBName[column]
			return field != nil && field.AutoUpdateTime > 0
		}))
	}
	w.moves = w.model.moves(set) || slices.ContainsFunc(set, w.model.isSoft)
	w.unchanged = !w.model.wanted(set)
	w.whole = w.moves || w.model.needsRow(creating) || w.model.needsRow(updating) || len(w.model.soft) > 0 || !w.upsert.exact
	w.reads = len(w.upsert.lookups) > 0
	w.rereads = w.reads
	switch {
	case !e.known:
		w.failed = errUnknownRows
	case w.reads && len(w.model.schema.PrimaryFields) == 0:
		w.failed = errNoKey
	case w.upsert.count > maxRows:
		w.failed = errManyRows
	}
}

func newUpsert(m *model, conflict clause.OnConflict, values clause.Values, anyIndex bool) *upsert {
	u := &upsert{nothing: conflict.DoNothing, count: len(values.Values)}
	targets := m.targets(conflict, anyIndex)
	u.exact = len(targets) == 1 && len(conflict.Where.Exprs) == 0 && len(conflict.TargetWhere.Exprs) == 0
	u.keyed = u.exact && len(m.schema.PrimaryFields) > 0 && slices.Equal(targets[0], m.schema.PrimaryFields)
	places := map[string]int{}
	for i, column := range values.Columns {
		places[column.Name] = i
	}
	met := make([]bool, u.count)
	for _, target := range targets {
		found := lookup{columns: make([]clause.Column, len(target))}
		for i, field := range target {
			found.columns[i] = clause.Column{Table: clause.CurrentTable, Name: field.DBName}
		}
		for i, element := range values.Values {
			if tuple := tupleOf(target, places, element); tuple != nil {
				found.tuples = append(found.tuples, tuple)
				met[i] = true
			}
		}
		if len(found.tuples) > 0 {
			u.lookups = append(u.lookups, found)
		}
	}
	for i := range met {
		if !met[i] {
			u.free = append(u.free, i)
		}
	}
	u.keyed = u.keyed && len(u.free) == 0
	return u
}

// targets are the sets of unique columns by which the statement may meet a row.
func (m *model) targets(conflict clause.OnConflict, anyIndex bool) [][]*schema.Field {
	if anyIndex || len(conflict.Columns) == 0 || conflict.OnConstraint != "" {
		return m.unique
	}
	var target []*schema.Field
	for _, column := range conflict.Columns {
		field := m.schema.LookUpField(column.Name)
		if field == nil {
			return m.unique
		}
		target = append(target, field)
	}
	return [][]*schema.Field{target}
}

// tupleOf picks the columns of an element; nil where one is not given, or null,
// which is equal to nothing.
func tupleOf(target []*schema.Field, places map[string]int, element []any) []any {
	tuple := make([]any, len(target))
	for i, field := range target {
		place, given := places[field.DBName]
		if !given {
			return nil
		}
		if _, computed := element[place].(clause.Expression); computed || element[place] == nil {
			return nil
		}
		if v := reflect.ValueOf(element[place]); v.Kind() == reflect.Pointer && v.IsNil() {
			return nil
		}
		tuple[i] = element[place]
	}
	return tuple
}

// read reads the rows that the statement may meet, before it runs.
func (u *upsert) read(w *write) (err error) {
	lock := ""
	if e := engineOf(w.db); e.keyLocks { // elsewhere, to lock what is not there blocks others
		lock = e.lock(w.db.Statement, false)
	}
	w.before, err = u.find(w, lock)
	return err
}

func (u *upsert) find(w *write, lock string) (found []row, err error) {
	for _, lookup := range u.lookups {
		for tuples := range slices.Chunk(lookup.tuples, keyedRows) {
			q := reading(w.db, w.model, w.whole)
			q.AddClause(clause.Where{Exprs: []clause.Expression{in(lookup.columns, tuples)}})
			q.Build("SELECT", "FROM", "WHERE")
			q.SQL.WriteString(lock)
			rows, count, err := queryRows(q, w.ConnPool, w.model, true)
			if err != nil {
				return nil, err
			}
			if len(rows) != count {
				return nil, fmt.Errorf("%d of %d rows could not be read", count-len(rows), count)
			}
			found = append(found, rows...)
		}
	}
	return sorted(found), nil
}

// announce compares the rows before and after the statement.
func (u *upsert) announce(a *announcement, w *write) error {
	after, err := u.rows(a, w)
	if err != nil {
		return err
	}
	before := make(map[string]*row, len(w.before))
	for i := range w.before {
		before[w.before[i].key.text] = &w.before[i]
	}
	created := slices.DeleteFunc(slices.Clone(after), func(r row) bool { return before[r.key.text] != nil })
	late, err := u.late(a, w, created)
	for i := range after {
		r := &after[i]
		old := before[r.key.text]
		switch {
		case old == nil && slices.Contains(late, r.key.text):
			err = errors.New("the statement met rows that were not there before it")
		case old == nil:
			a.came(r)
		case u.nothing || !u.exact && same(a.ctx, w.model, old, r):
		default:
			a.pair(w, old, r)
		}
	}
	return errors.Join(err, u.announceFree(a, w))
}

// rows are those that the statement has written, or left alone.
func (u *upsert) rows(a *announcement, w *write) (after []row, err error) {
	if u.keyed && !u.nothing && !w.whole {
		values, err := createdValues(nil, w.db, w.model)
		for _, value := range values {
			after = append(after, newRow(a.ctx, w.model.schema, value))
		}
		return sorted(after), err
	}
	if after, err = u.find(w, ""); err != nil {
		return nil, err
	}
	moved := slices.DeleteFunc(slices.Clone(w.before), func(old row) bool { // by what it was met has changed
		return slices.ContainsFunc(after, func(r row) bool { return r.key.text == old.key.text })
	})
	more, err := selectRows(w.db, w.ConnPool, w.model, moved)
	return sorted(append(after, more...)), err
}

// late finds the rows that another transaction created between our reading and
// the statement, which then has updated them: some databases leave a sign.
func (u *upsert) late(a *announcement, w *write, created []row) (keys []string, err error) {
	if !engineOf(w.db).xmax || u.nothing {
		return nil, nil
	}
	for rows := range slices.Chunk(created, keyedRows) {
		q := reading(w.db, w.model, false)
		q.AddClause(clause.Where{Exprs: []clause.Expression{
			keyCondition(a.ctx, w.model, rows),
			clause.Expr{SQL: q.Quote(clause.Column{Table: clause.CurrentTable, Name: "xmax"}) + "::text <> '0'"},
		}})
		q.Build("SELECT", "FROM", "WHERE")
		met, _, err := queryRows(q, w.ConnPool, w.model, false)
		if err != nil {
			return nil, err
		}
		for _, row := range met {
			keys = append(keys, row.key.text)
		}
	}
	return keys, nil
}

// announceFree announces the elements that can have met no row. Their keys are
// in memory, unless GORM cannot tell which of the elements they belong to.
func (u *upsert) announceFree(a *announcement, w *write) error {
	if len(u.free) == 0 {
		return nil
	}
	e, mixed := engineOf(w.db), len(u.lookups) > 0
	nothing := u.nothing && !(e.duplicate && e.insert) // that combination returns all rows
	if nothing && (mixed || w.db.RowsAffected != int64(u.count)) || mixed && !e.insert {
		return errors.New("the statement does not tell the keys of its rows")
	}
	values, err := createdValues(nil, w.db, w.model)
	if err != nil || len(values) != u.count {
		return errors.Join(err, errors.New("the rows of the statement are not those in memory"))
	}
	rows := make([]row, len(u.free))
	for i, place := range u.free {
		rows[i] = newRow(a.ctx, w.model.schema, values[place])
	}
	if createdDiffers(w.db, w.model) {
		if rows, err = selectRows(w.db, w.ConnPool, w.model, rows); err != nil {
			return err
		}
	}
	for i := range rows {
		a.came(&rows[i])
	}
	return nil
}

// same reports whether a row has stayed as it was.
func same(ctx context.Context, m *model, before, after *row) bool {
	for _, field := range m.schema.Fields {
		if field.DBName == "" {
			continue
		}
		was, _ := field.ValueOf(ctx, before.value)
		is, _ := field.ValueOf(ctx, after.value)
		if !reflect.DeepEqual(was, is) {
			return false
		}
	}
	return true
}
