package capture

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"
)

var errNewKeys = errors.New("the statement does not tell the keys of its rows")

// fillCreated sets the rows of a create that met no existing rows. They are in memory,
// unless the create left columns out or came from maps, or the table keeps other values.
func fillCreated(s *Statement, db *gorm.DB, pool gorm.ConnPool, l *layout) error {
	rows, err := rowsInMemory(s.one[:0], db, s.Table, l)
	if err != nil {
		return err
	}
	returned := returnsDefaults(db)
	for i := range rows {
		if !tellsKey(db, s.Table, returned, rows[i].After) {
			return s.withoutKeys(l, rows)
		}
	}
	if createdDiffers(db, s.Table, l) {
		rows, err = selectCreated(db, pool, s.Table, l, rows)
	}
	s.Rows = rows
	return err
}

// withoutKeys takes created rows whose keys are unknown. The error means that their other
// columns are unknown too.
func (s *Statement) withoutKeys(l *layout, rows []Row) error {
	if l == nil || l.rereads {
		return errNewKeys
	}
	s.Keyless = rows
	return nil
}

// selectCreated reads created rows, all of which are there.
func selectCreated(db *gorm.DB, pool gorm.ConnPool, t *Table, l *layout, rows []Row) ([]Row, error) {
	found, err := selectRows(db, pool, t, l, rows, neededColumns)
	if err == nil && len(found) != len(rows) {
		err = unreadRows(len(found), len(rows))
	}
	return found, err
}

// tellsKey reports whether a created row has its key in memory. A zero that the database
// should have filled is none, unless the database has returned it.
func tellsKey(db *gorm.DB, t *Table, returned bool, row reflect.Value) bool {
	return returned || !slices.ContainsFunc(t.schema.PrimaryFields, func(field *schema.Field) bool {
		if !field.HasDefaultValue || field.DefaultValueInterface != nil {
			return false
		}
		_, isZero := field.ValueOf(db.Statement.Context, row)
		return isZero
	})
}

// returnsDefaults reports whether a create returns all that the database fills, as that of
// GORM does, which adds it only when it builds the statement. The program may ask for less.
func returnsDefaults(db *gorm.DB) bool {
	stmt := db.Statement
	given, asked := stmt.Clauses["RETURNING"]
	if !asked {
		return dialectOf(db).insert
	}
	returning, known := given.Expression.(clause.Returning)
	isReturned := func(field *schema.Field) bool {
		return slices.ContainsFunc(returning.Columns, func(c clause.Column) bool {
			return c.Name == "*" || stmt.Schema.LookUpField(c.Name) == field
		})
	}
	for _, field := range stmt.Schema.FieldsWithDefaultDBValue {
		if len(returning.Columns) > 0 && field.Readable && !isReturned(field) {
			return false
		}
	}
	return known && dialectOf(db).insert
}

// createdDiffers reports whether a created row may differ from the value in memory, in
// the columns that the consumer wants.
func createdDiffers(db *gorm.DB, t *Table, l *layout) bool {
	stmt := db.Statement
	wants, rereads := t.interest.Wants(stmt.Context, Create), t.interest.Rereads()
	if wants < Columns {
		return l != nil && l.rereadKey && rereads != RereadNever
	}
	return l != nil && l.rereads && rereads != RereadNever || rereads == RereadAlways || t.unwritten || len(stmt.Selects) > 0 || len(stmt.Omits) > 0 ||
		stmt.ReflectValue.Kind() == reflect.Map || isMaps(stmt.Dest) || t.defaults && !returnsDefaults(db)
}

func isMaps(dest any) bool {
	switch dest.(type) {
	case []map[string]any, *[]map[string]any, *map[string]any:
		return true
	}
	return false
}

// rowsInMemory appends the rows that a create has written, as they are in memory.
func rowsInMemory(rows []Row, db *gorm.DB, t *Table, l *layout) ([]Row, error) {
	ctx, value := db.Statement.Context, db.Statement.ReflectValue
	var made structs
	switch value.Kind() {
	case reflect.Struct:
		row, err := l.rowOf(ctx, t, value, &made)
		return append(rows, row), err
	case reflect.Slice, reflect.Array:
		rows = slices.Grow(rows, value.Len())
		for i := range value.Len() {
			if element := reflect.Indirect(value.Index(i)); element.Kind() == reflect.Struct {
				row, err := l.rowOf(ctx, t, element, &made)
				if err != nil {
					return nil, err
				}
				rows = append(rows, row)
			}
		}
	}
	if len(rows) > 0 {
		return rows, nil
	}
	return rowsOfMaps(ctx, db.Statement, t)
}

// rowOf returns a created row as the table keeps it. Without a layout only its key counts.
func (l *layout) rowOf(ctx context.Context, t *Table, value reflect.Value, made *structs) (Row, error) {
	if l == nil {
		return newRow(ctx, t, value), nil
	}
	kept := made.next(t.schema.ModelType) // the value may be of another type with the same fields
	if err := l.stored(ctx, value, kept); err != nil {
		return Row{}, err
	}
	return newRow(ctx, t, kept), nil
}

// rowsOfMaps makes rows with only the key, of a create from one map or several. The
// statement has a key that the caller gave; in the map GORM may overwrite it with a
// generated one.
func rowsOfMaps(ctx context.Context, stmt *gorm.Statement, t *Table) ([]Row, error) {
	var maps []map[string]any
	switch dest := stmt.Dest.(type) {
	case map[string]any:
		maps = append(maps, dest)
	case *map[string]any:
		maps = append(maps, *dest)
	case []map[string]any:
		maps = dest
	case *[]map[string]any:
		maps = *dest
	}
	written, _ := stmt.Clauses["VALUES"].Expression.(clause.Values)
	rows := make([]Row, 0, len(maps))
	for i, columns := range maps {
		element := reflect.New(stmt.Schema.ModelType).Elem()
		for _, field := range stmt.Schema.PrimaryFields {
			part, ok := columns[field.DBName]
			if !ok {
				part = columns[field.Name]
			}
			if part == nil && field.DefaultValueInterface != nil {
				part = field.DefaultValueInterface
			}
			place := slices.IndexFunc(written.Columns, func(c clause.Column) bool { return c.Name == field.DBName })
			if place >= 0 && i < len(written.Values) && written.Values[i][place] != nil {
				part = written.Values[i][place]
			}
			if part == nil {
				return nil, errNewKeys
			}
			if err := field.Set(ctx, element, part); err != nil {
				return nil, fmt.Errorf("set %s: %w", field.Name, err)
			}
		}
		rows = append(rows, newRow(ctx, t, element))
	}
	return rows, nil
}
