package capture

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"
)

var errIndex = errors.New("the statement may meet rows by what only the database knows")

// meeting says what a create does with the rows that it meets. GORM and the dialects complete
// its clauses when they build the statement.
type meeting struct {
	clause.OnConflict
	nothing  bool // they stay as they are
	replaces bool // they are deleted, as INSERT OR REPLACE does
	leaves   bool // elements that the database refuses are left out, as INSERT IGNORE does
}

// meetingOf returns false for a create that fails where it meets a row.
func meetingOf(stmt *gorm.Statement) (m meeting, meets bool) {
	m.OnConflict, meets = stmt.Clauses["ON CONFLICT"].Expression.(clause.OnConflict)
	m.nothing = m.DoNothing || setsNothing(m.DoUpdates)
	insert, _ := stmt.Clauses["INSERT"].Expression.(clause.Insert)
	modifier := strings.ToUpper(insert.Modifier)
	switch {
	case strings.Contains(modifier, "REPLACE"):
		return meeting{OnConflict: clause.OnConflict{UpdateAll: true}, replaces: true}, true
	case strings.Contains(modifier, "IGNORE"): // at any index, also with a DO UPDATE at one
		m.nothing, m.leaves = m.nothing || !meets, true
		m.Columns, m.OnConstraint = nil, ""
		return m, true
	}
	return m, meets
}

// setsNothing reports whether a DO UPDATE sets a column to itself, as the dialect of MySQL
// writes DO NOTHING.
func setsNothing(set clause.Set) bool {
	return len(set) > 0 && !slices.ContainsFunc(set, func(a clause.Assignment) bool { return a.Value != a.Column })
}

// wants returns the greatest detail in which the consumer wants what the create does.
func (m *meeting) wants(ctx context.Context, t *Table) Detail {
	wants := max(t.interest.Wants(ctx, Create), t.interest.Wants(ctx, Update))
	if m.replaces {
		wants = max(wants, t.interest.Wants(ctx, Delete))
	}
	return wants
}

// sets appends the columns that it sets in rows that are there.
func (m *meeting) sets(columns []string, t *Table) []string {
	switch {
	case m.nothing:
		return columns
	case m.replaces:
		for _, c := range t.Columns {
			if !c.PrimaryKey {
				columns = append(columns, c.Name)
			}
		}
		return columns
	}
	for _, assignment := range m.DoUpdates {
		columns = append(columns, t.nameOf(assignment.Column.Name))
	}
	return columns
}

// upsert finds the rows of an INSERT … ON CONFLICT, OR IGNORE or OR REPLACE. GORM also uses one to save an
// unknown key, and to save associations. The plugin reads the rows that the statement
// may meet before and after it: a row that was not there before was created.
type upsert struct {
	meeting
	exact   bool     // an existing row is updated whenever it is met
	lookups []lookup // where existing rows may be met
	free    []int    // elements that can meet no row, because they name none
	keyed   bool     // all elements name their keys, and only by them rows are met
	blind   bool     // it may meet rows that cannot be looked up
	tells   bool     // the rows are in memory as they are after it, if the keys are
	count   int      // of the elements

	setsKey bool // of an existing row
	follows bool // and the elements name the keys that it sets
}

// extent returns which columns of a row are read. Where rows may be met and stay as they
// are, all of them are compared.
func (u *upsert) extent() extent {
	if u.exact {
		return neededColumns
	}
	return allColumns
}

// lookup is a set of unique columns, and the values that the elements have there.
type lookup struct {
	columns []clause.Column
	tuples  [][]any
}

// upsertFacts adds the facts of a create.
func (w *statementConn) upsertFacts(f *facts) {
	stmt, interest := w.db.Statement, w.table.interest
	m, meets := meetingOf(stmt)
	if !meets {
		return
	}
	values, _ := stmt.Clauses["VALUES"].Expression.(clause.Values)
	w.set = m.sets(w.space[:0], w.table)
	w.upsert = newUpsert(w.table, w.layout, m, values, w.dialect.duplicate, slices.ContainsFunc(w.set, w.table.isKey))
	if !m.UpdateAll && len(w.set) > 0 {
		w.named = slices.DeleteFunc(slices.Clone(w.set), w.table.isAutoUpdated)
	}
	_, f.before = interest.WantsUpdate(w.set)
	f.wants = m.wants(stmt.Context, w.table)
	f.upserts, f.exact, f.looksUp, f.rows = true, w.upsert.exact, len(w.upsert.lookups) > 0, w.upsert.count
	if w.upsert.blind {
		f.failure = errIndex
	}
}

func newUpsert(t *Table, l *layout, m meeting, values clause.Values, anyIndex, setsKey bool) *upsert {
	u := &upsert{meeting: m, count: len(values.Values), setsKey: setsKey}
	targets := l.targets(t.schema, m.OnConflict, anyIndex)
	u.exact = len(targets) == 1 && len(m.Where.Exprs) == 0 && len(m.TargetWhere.Exprs) == 0 && !m.replaces && !m.leaves
	u.keyed = u.exact && !setsKey && l.exactKey && isKeyOf(t.schema, targets[0])
	u.blind = l.hidden && (anyIndex || isOpen(m.OnConflict))
	isKey := func(target []string) bool { return isKeyOf(t.schema, target) }
	if setsKey && !slices.ContainsFunc(targets, isKey) {
		targets = append(slices.Clip(targets), t.schema.PrimaryFieldDBNames) // there they are after it
	}
	places := map[string]int{}
	for i, column := range values.Columns {
		places[l.fold(column.Name)] = i
	}
	met := make([]bool, u.count)
	for _, target := range targets {
		found := lookup{columns: columnsNamed(target), tuples: make([][]any, 0, u.count)}
		for i, element := range values.Values {
			tuple, known := l.tupleOf(target, places, element)
			u.blind = u.blind || !known
			if tuple != nil {
				found.tuples = append(found.tuples, tuple)
				met[i] = true
			}
		}
		u.follows = u.follows || isKey(target) && len(found.tuples) == u.count
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
	u.tells = u.keyed && !u.nothing && !t.defaults && !l.rereads && t.interest.Rereads() != RereadAlways && l.setsAll(m.OnConflict, places)
	u.follows = u.follows && setsKey && l.copiesKey(m.DoUpdates)
	return u
}

// setsAll reports whether an upsert sets all columns at which the consumer looks, in new rows and
// in those that are there, to the values of its elements.
func (l *layout) setsAll(conflict clause.OnConflict, places map[string]int) bool {
	copied := l.copied(conflict.DoUpdates)
	for i := range l.needed {
		name := l.fold(l.needed[i].column.name)
		if _, given := places[name]; !given || !copied[name] && !l.needed[i].field.PrimaryKey {
			return false
		}
	}
	return true
}

// copiesKey reports whether the rows that are met get the keys of the elements.
func (l *layout) copiesKey(set clause.Set) bool {
	copied := l.copied(set)
	return !slices.ContainsFunc(l.keys, func(p place) bool { return !copied[l.fold(p.column.name)] })
}

// copied returns the columns that are set to the values of the elements.
func (l *layout) copied(set clause.Set) map[string]bool {
	copied := map[string]bool{}
	for _, assignment := range set {
		value, ok := assignment.Value.(clause.Column)
		if ok && value.Table == "excluded" && value.Name == assignment.Column.Name {
			copied[l.fold(value.Name)] = true
		}
	}
	return copied
}

// isOpen reports whether a conflict may be that of any unique index.
func isOpen(conflict clause.OnConflict) bool {
	return len(conflict.Columns) == 0 || conflict.OnConstraint != ""
}

// targets are the sets of unique columns by which the statement may meet a row.
func (l *layout) targets(s *schema.Schema, conflict clause.OnConflict, anyIndex bool) [][]string {
	if anyIndex || isOpen(conflict) {
		return l.unique
	}
	var target []string
	for _, given := range conflict.Columns {
		name := given.Name
		if field := s.LookUpField(name); field != nil {
			name = field.DBName
		}
		if l.column(name) == nil { // an expression
			return l.unique
		}
		target = append(target, name)
	}
	return [][]string{target}
}

// isKeyOf reports whether the columns are those of the primary key.
func isKeyOf(s *schema.Schema, columns []string) bool {
	return len(s.PrimaryFieldDBNames) > 0 && slices.Equal(columns, s.PrimaryFieldDBNames)
}

// tupleOf picks the columns of an element. It is nil where one is null, which is equal
// to nothing, or where the database makes a new value. It is not known where one is
// computed or has a default.
func (l *layout) tupleOf(target []string, places map[string]int, element []any) (tuple []any, known bool) {
	tuple, known = make([]any, len(target)), true
	for i, name := range target {
		place, given := places[l.fold(name)]
		if !given {
			return nil, l.isFresh(name)
		}
		if computed, is := element[place].(clause.Expression); is {
			expression, _ := computed.(clause.Expr)
			return nil, expression.SQL == "NULL" || expression.SQL == "DEFAULT" && l.isFresh(name)
		}
		if v := reflect.ValueOf(element[place]); element[place] == nil || v.Kind() == reflect.Pointer && v.IsNil() {
			return nil, true
		}
		if tuple[i], known = l.asKept(name, element[place]); !known {
			return nil, false
		}
	}
	return tuple, true
}

// asKept returns a value as the column keeps it, if that is known without asking.
func (l *layout) asKept(name string, value any) (kept any, known bool) {
	c := l.column(name)
	t, isTime := timeOf(value)
	switch {
	case c == nil:
		return nil, false
	case c.kind == instant || c.kind == wallTime:
		return l.clock.keep(t, c.kind, c.precision), isTime
	case c.kind == day && isTime && l.clock.instant != nil && l.clock.wall == nil: // the driver writes the time too
		year, month, date := t.In(l.clock.instant).Date()
		return time.Date(year, month, date, 0, 0, 0, 0, l.clock.instant), true
	case c.kind == otherKind:
		kind := reflect.Indirect(reflect.ValueOf(value)).Kind()
		return value, kind >= reflect.Bool && kind <= reflect.Uint64
	}
	return value, true
}

// isFresh reports whether an INSERT without the column meets no other row by it.
func (l *layout) isFresh(name string) bool {
	c := l.column(name)
	return c != nil && c.fills != "value"
}
