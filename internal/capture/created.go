package capture

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// fillCreated sets the rows of a create that met no existing rows. They are in memory,
// unless the create left columns out or came from maps.
func fillCreated(s *Statement, db *gorm.DB, pool gorm.ConnPool) error {
	rows, err := rowsInMemory(s.one[:0], db, s.Table)
	if err == nil && createdDiffers(db, s.Table) {
		rows, err = selectRows(db, pool, s.Table, rows)
	}
	s.Rows = rows
	return err
}

// createdDiffers reports whether the consumer wants columns of a created row that may
// differ from the value in memory.
func createdDiffers(db *gorm.DB, t *Table) bool {
	stmt := db.Statement
	return (t.unwritten || len(stmt.Selects) > 0 || len(stmt.Omits) > 0 ||
		stmt.ReflectValue.Kind() == reflect.Map || isMaps(stmt.Dest) ||
		t.defaults && !dialectOf(db).insert) && t.interest.Wants(stmt.Context, Create) == Columns
}

func isMaps(dest any) bool {
	switch dest.(type) {
	case []map[string]any, *[]map[string]any, *map[string]any:
		return true
	}
	return false
}

// rowsInMemory appends the rows that a create has written, as they are in memory.
func rowsInMemory(rows []Row, db *gorm.DB, t *Table) ([]Row, error) {
	ctx, value := db.Statement.Context, db.Statement.ReflectValue
	switch value.Kind() {
	case reflect.Struct:
		rows = append(rows, newRow(ctx, t, value))
	case reflect.Slice, reflect.Array:
		rows = slices.Grow(rows, value.Len())
		for i := range value.Len() {
			if element := reflect.Indirect(value.Index(i)); element.Kind() == reflect.Struct {
				rows = append(rows, newRow(ctx, t, element))
			}
		}
	}
	if len(rows) > 0 {
		return rows, nil
	}
	return rowsOfMaps(ctx, db.Statement, t)
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
			place := slices.IndexFunc(written.Columns, func(c clause.Column) bool { return c.Name == field.DBName })
			if place >= 0 && i < len(written.Values) && written.Values[i][place] != nil {
				part = written.Values[i][place]
			}
			if err := field.Set(ctx, element, part); err != nil {
				return nil, fmt.Errorf("set %s: %w", field.Name, err)
			}
		}
		rows = append(rows, newRow(ctx, t, element))
	}
	return rows, nil
}
