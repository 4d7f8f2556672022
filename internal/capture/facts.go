package capture

import (
	"slices"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// facts gathers the facts of a statement that is about to run.
func (w *statementConn) facts() facts {
	f := w.ownFacts()
	if !w.needsLayout(&f) {
		f.exactKey = true
		return f
	}
	w.layout, f.failure = w.table.layoutOf(w.db, w.ConnPool, w.dialect)
	if f.failure != nil {
		return f
	}
	f.failure, f.exactKey = w.layout.fault(), w.layout.exactKey
	if w.setsKey && f.exactKey && w.keepsKey() {
		w.setsKey, f.setsKey, f.keyed = false, false, w.meetsOneKey()
		f.wants, f.before = w.table.interest.WantsUpdate(slices.DeleteFunc(slices.Clone(w.set), w.table.isKey))
	}
	if f.op == Create {
		w.upsertFacts(&f)
	}
	if f.wants == Values && f.failure == nil {
		f.wants = Columns
		if w.table.interest.Rereads() != RereadAlways {
			if values, told := w.layout.valuesOf(w.db.Statement.Context, w.table, w.assigned); told {
				f.wants, w.values = Keys, values
			}
		}
	}
	return f
}

// needsLayout reports whether the plan depends on what the table is. A view of SQLite does
// not even tell that it has written.
func (w *statementConn) needsLayout(f *facts) bool {
	switch {
	case f.op == Create:
		return f.upserts // for any other create the stand-in has it
	case f.before || f.hides:
		return true
	}
	known := f.keyed && !f.unscoped && f.wants == Keys && w.table.numberKey && !w.dialect.writer
	return f.wants >= Keys && !known
}

// ownFacts gathers the facts that the statement and the model tell.
func (w *statementConn) ownFacts() facts {
	w.dialect = dialectOf(w.db)
	f := facts{op: w.op, dialect: w.dialect, soft: w.table.SoftDelete, hasKey: len(w.table.schema.PrimaryFields) > 0}
	f.rereads = w.table.interest.Rereads() == RereadAlways
	stmt := w.db.Statement
	switch w.op {
	case Create:
		_, f.upserts = meetingOf(stmt)
		f.wants = w.table.interest.Wants(stmt.Context, Create)
		f.differs = createdDiffers(w.db, w.table, w.layout)
		return f
	case Delete:
		f.wants, f.rewrites = w.table.interest.Wants(stmt.Context, Delete), w.rewrites()
	case Update:
		w.assigned = w.assignments()
		w.set = setColumns(w.space[:0], w.assigned)
		if w.named = w.namedColumns(); slices.ContainsFunc(w.assigned, w.table.isOpaque) {
			w.set, w.named = w.table.setByAny(), nil
		}
		w.setsKey = slices.ContainsFunc(w.set, w.table.isKey)
		f.wants, f.before = w.table.interest.WantsUpdate(w.set)
		f.hides = w.hides()
	}
	f.setsKey = w.setsKey
	f.keyed = !w.setsKey && w.meetsOneKey()
	f.unscoped = f.soft && stmt.Unscoped
	f.removes = w.removes()
	f.joined = namesTables(stmt)
	_, f.asked = stmt.Clauses["RETURNING"]
	return f
}

// removes reports whether the statement is a DELETE: a soft delete is an UPDATE.
func (w *statementConn) removes() bool {
	_, sets := w.db.Statement.Clauses["SET"]
	return w.op == Delete && !sets
}

// rewrites reports whether a soft delete sets columns whose values before it are needed, and
// not known to be zero.
func (w *statementConn) rewrites() bool {
	set, _ := w.db.Statement.Clauses["SET"].Expression.(clause.Set)
	return slices.ContainsFunc(set, func(assignment clause.Assignment) bool {
		c := w.table.byName[w.table.nameOf(assignment.Column.Name)]
		if c == nil || !slices.Contains(w.table.soft, c.field) {
			return c == nil || w.table.needs(c.field)
		}
		return slices.Contains(w.table.cleared, c.field)
	})
}

// hides reports whether an update may hide rows that are there or show those that a
// soft delete has hidden. Without Unscoped it meets only live rows, and a Save writes
// them live again.
func (w *statementConn) hides() bool {
	return slices.ContainsFunc(w.assigned, func(assignment clause.Assignment) bool {
		return w.table.SoftDelete && w.table.isOpaque(assignment) || w.table.isSoft(assignment.Column.Name) &&
			(w.db.Statement.Unscoped || len(w.table.cleared) > 0 || !isNull(assignment.Value))
	})
}

// namedColumns returns the columns that the caller set himself. The Save of a whole struct
// names no columns.
func (w *statementConn) namedColumns() []string {
	stmt := w.db.Statement
	dest, isMap := destOf(stmt)
	if !isMap && slices.Equal(stmt.Selects, []string{"*"}) {
		return nil
	}
	columns := w.space[min(len(w.set), len(w.space)):][:0] // behind set
	for _, column := range w.set {
		if w.table.isAutoUpdated(column) && !w.givenSet && !stmt.SkipHooks && !w.givesValue(dest, column) {
			continue // GORM sets it
		}
		columns = append(columns, column)
	}
	return columns
}

// destOf returns the map that an update takes its values from.
func destOf(stmt *gorm.Statement) (dest map[string]any, isMap bool) {
	switch given := stmt.Dest.(type) {
	case map[string]any:
		return given, true
	case *map[string]any:
		return *given, true
	}
	return nil, false
}

// givesValue reports whether the map has a value for the column, by its name or its field's.
func (w *statementConn) givesValue(dest map[string]any, column string) bool {
	for name, value := range dest {
		if value != nil && (name == w.table.byName[column].Field.Name || w.table.nameOf(name) == column) {
			return true
		}
	}
	return false
}

// assignments returns the SET clause with the names of the columns as the model has them: a
// program may spell and qualify them as its database allows.
func (w *statementConn) assignments() clause.Set {
	set, _ := w.db.Statement.Clauses["SET"].Expression.(clause.Set)
	if !slices.ContainsFunc(set, func(a clause.Assignment) bool { return w.table.byName[a.Column.Name] == nil }) {
		return set
	}
	set = slices.Clone(set)
	for i := range set {
		set[i].Column.Name = w.table.nameOf(set[i].Column.Name)
	}
	return set
}

// setColumns appends the columns that the statement sets, as GORM is about to write it.
func setColumns(columns []string, set clause.Set) []string {
	for _, assignment := range set {
		columns = append(columns, assignment.Column.Name)
	}
	return columns
}

// namesTables reports whether the statement names several tables.
func namesTables(stmt *gorm.Statement) bool {
	from, _ := stmt.Clauses["FROM"].Expression.(clause.From)
	return len(from.Joins) > 0 || len(from.Tables) > 1
}
