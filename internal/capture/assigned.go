package capture

import (
	"context"
	"errors"
	"reflect"
	"slices"

	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"
)

var errKeys = errors.New("the statement computes keys")

// isOpaque reports whether an assignment may set other columns than its name says: GORM
// writes a raw name as it is, such as "(a, b)" or "a[1]".
func (t *Table) isOpaque(assignment clause.Assignment) bool {
	return assignment.Column.Raw && t.byName[assignment.Column.Name] == nil
}

// keepsKey reports whether the statement sets the key to what its own condition says
// that it is.
func (w *statementConn) keepsKey() bool {
	if !allHold(w.db.Statement) {
		return false
	}
	where, _ := w.db.Statement.Clauses["WHERE"].Expression.(clause.Where)
	for _, assignment := range w.assigned {
		if !w.table.isKey(assignment.Column.Name) {
			continue
		}
		same := slices.ContainsFunc(where.Exprs, func(e clause.Expression) bool {
			eq, ok := e.(clause.Eq)
			return ok && columnName(eq.Column) == assignment.Column.Name && isSameKey(eq.Value, assignment.Value)
		})
		if !same {
			return false
		}
	}
	return true
}

func columnName(column any) string {
	switch column := column.(type) {
	case string:
		return column
	case clause.Column:
		return column.Name
	}
	return ""
}

func isSameKey(a, b any) bool {
	textOf, _, err := keyText(a)
	other, _, otherErr := keyText(b)
	return err == nil && otherErr == nil && textOf == other
}

// followKeys finds out which keys the rows that were read before will have, where the
// statement sets keys and the database does not tell.
func (w *statementConn) followKeys(ctx context.Context) error {
	if !w.setsKey || !w.plan.readsAfter {
		return nil
	}
	stay := true
	for i := range w.before {
		row := reflect.New(w.table.schema.ModelType).Elem()
		for _, field := range w.table.schema.PrimaryFields {
			value, _ := field.ValueOf(ctx, w.before[i].Before)
			if err := assign(ctx, field, row, value, w.assigned); err != nil {
				return err
			}
		}
		moved := newRow(ctx, w.table, row)
		stay = stay && moved.Key.text == w.before[i].Key.text
		w.moved = append(w.moved, moved)
	}
	w.setsKey = !stay
	return nil
}

// assign sets a column to what the statement sets it to, else to the value.
func assign(ctx context.Context, field *schema.Field, row reflect.Value, value any, set clause.Set) error {
	for _, assignment := range set {
		if assignment.Column.Name != field.DBName {
			continue
		}
		if _, computed := assignment.Value.(clause.Expression); computed {
			return errKeys
		}
		value = assignment.Value
	}
	return field.Set(ctx, row, value)
}

// valuesOf returns a struct with the columns that an update sets and at which the consumer
// looks, as the table keeps them. It returns false where only the database can tell: what it
// computes, what it keeps otherwise, and values of other types than that of their fields.
func (l *layout) valuesOf(ctx context.Context, t *Table, set clause.Set) (values reflect.Value, told bool) {
	values = reflect.New(t.schema.ModelType).Elem()
	for _, assignment := range set {
		c := t.byName[assignment.Column.Name]
		if c == nil {
			return values, false
		}
		if !t.needs(c.field) {
			continue
		}
		i := slices.IndexFunc(l.needed, func(p place) bool { return p.field == c.field })
		if i < 0 || l.needed[i].fidelity == lost && t.interest.Rereads() != RereadNever || !fits(c.field, assignment.Value) {
			return values, false
		}
		c.field.ReflectValueOf(ctx, values).SetZero() // a column that is set twice: the first pointer is to the program's memory
		if c.field.Set(ctx, values, assignment.Value) != nil || l.keep(ctx, &l.needed[i], values, values) != nil {
			return values, false
		}
	}
	return values, true
}

// fits reports whether a field holds a value as the database gets it: GORM hands on a value
// of any type, and converts it only for its field.
func fits(field *schema.Field, value any) bool {
	if _, computed := value.(clause.Expression); computed || field.Serializer != nil {
		return false
	}
	v := reflect.ValueOf(value)
	switch {
	case value == nil:
		return field.FieldType.Kind() == reflect.Pointer || field.FieldType.Kind() == reflect.Slice
	case v.Type() == field.FieldType, v.Type() == field.IndirectFieldType:
		return true
	case field.IndirectFieldType.PkgPath() != "" || v.Type().PkgPath() != "": // it may have methods
		return false
	case v.CanInt() && (isIntKind(field.IndirectFieldType)):
		return !reflect.New(field.IndirectFieldType).Elem().OverflowInt(v.Int())
	case v.CanInt() && isUintKind(field.IndirectFieldType):
		return v.Int() >= 0 && !reflect.New(field.IndirectFieldType).Elem().OverflowUint(uint64(v.Int()))
	}
	return false
}

func isIntKind(t reflect.Type) bool { return t.Kind() >= reflect.Int && t.Kind() <= reflect.Int64 }

func isUintKind(t reflect.Type) bool { return t.Kind() >= reflect.Uint && t.Kind() <= reflect.Uint64 }
