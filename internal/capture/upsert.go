package capture

import (
	"reflect"
	"slices"

	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"
)

// upsert finds the rows of an INSERT … ON CONFLICT. GORM also uses one to save an
// unknown key, and to save associations. The plugin reads the rows that the statement
// may meet before and after it: a row that was not there before was created.
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

// upsertFacts adds the facts of a create.
func (w *statementConn) upsertFacts(f *facts) {
	stmt, interest := w.db.Statement, w.table.interest
	conflict, upserts := stmt.Clauses["ON CONFLICT"].Expression.(clause.OnConflict)
	if !upserts {
		return
	}
	values, _ := stmt.Clauses["VALUES"].Expression.(clause.Values)
	conflict.DoNothing = w.doNothing
	w.upsert = newUpsert(w.table, conflict, values, w.dialect.duplicate)
	w.set = w.space[:0]
	for _, assignment := range conflict.DoUpdates {
		w.set = append(w.set, assignment.Column.Name)
	}
	if !conflict.UpdateAll && len(w.set) > 0 {
		w.named = slices.DeleteFunc(slices.Clone(w.set), w.table.isAutoUpdated)
	}
	_, f.before = interest.WantsUpdate(w.set)
	f.wants = max(interest.Wants(stmt.Context, Create), interest.Wants(stmt.Context, Update))
	f.upserts, f.exact, f.looksUp, f.rows = true, w.upsert.exact, len(w.upsert.lookups) > 0, w.upsert.count
}

func newUpsert(t *Table, conflict clause.OnConflict, values clause.Values, anyIndex bool) *upsert {
	u := &upsert{nothing: conflict.DoNothing, count: len(values.Values)}
	targets := t.targets(conflict, anyIndex)
	u.exact = len(targets) == 1 && len(conflict.Where.Exprs) == 0 && len(conflict.TargetWhere.Exprs) == 0
	u.keyed = u.exact && len(t.schema.PrimaryFields) > 0 && slices.Equal(targets[0], t.schema.PrimaryFields)
	places := map[string]int{}
	for i, column := range values.Columns {
		places[column.Name] = i
	}
	met := make([]bool, u.count)
	for _, target := range targets {
		found := lookup{columns: currentColumns(target)}
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
func (t *Table) targets(conflict clause.OnConflict, anyIndex bool) [][]*schema.Field {
	if anyIndex || len(conflict.Columns) == 0 || conflict.OnConstraint != "" {
		return t.unique
	}
	var target []*schema.Field
	for _, column := range conflict.Columns {
		field := t.schema.LookUpField(column.Name)
		if field == nil {
			return t.unique
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
