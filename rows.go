package rohrpost

import (
	"context"
	"database/sql"
	"fmt"
	"reflect"
	"slices"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"
)

// elements returns the structs of a statement's value: itself, or those of a
// slice or array of structs or pointers. They are appended to rows.
func elements(rows []reflect.Value, value reflect.Value) []reflect.Value {
	switch value.Kind() {
	case reflect.Struct:
		return append(rows, value)
	case reflect.Slice, reflect.Array:
		rows = slices.Grow(rows, value.Len())
		for i := range value.Len() {
			if row := reflect.Indirect(value.Index(i)); row.Kind() == reflect.Struct {
				rows = append(rows, row)
			}
		}
	}
	return rows
}

// mapElements makes structs that hold only the key of what was created from a
// map or several; GORM put a generated key into the map.
func mapElements(ctx context.Context, s *schema.Schema, dest any) ([]reflect.Value, error) {
	var maps []map[string]any
	switch dest := dest.(type) {
	case map[string]any:
		maps = append(maps, dest)
	case *map[string]any:
		maps = append(maps, *dest)
	case []map[string]any:
		maps = dest
	case *[]map[string]any:
		maps = *dest
	}
	rows := make([]reflect.Value, 0, len(maps))
	for _, values := range maps {
		row := reflect.New(s.ModelType).Elem()
		for _, field := range s.PrimaryFields {
			value, ok := values[field.DBName]
			if !ok {
				value = values[field.Name]
			}
			if err := field.Set(ctx, row, value); err != nil {
				return nil, fmt.Errorf("set %s: %w", field.Name, err)
			}
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// selectRows reads the rows that have the keys of the given ones, in the same
// transaction and in the same order; those that are not there are left out.
func selectRows(db *gorm.DB, m *model, keyed []reflect.Value) ([]reflect.Value, error) {
	if len(keyed) == 0 {
		return nil, nil
	}
	ctx := db.Statement.Context
	tx := db.Session(&gorm.Session{NewDB: true, DryRun: true, SkipHooks: true}).Unscoped()
	tx.Statement.Table, tx.Statement.TableExpr = db.Statement.Table, db.Statement.TableExpr
	query := tx.Where(keyCondition(ctx, m.schema, keyed)).Find(reflect.New(m.schema.ModelType).Interface()).Statement
	rows, err := db.Statement.ConnPool.QueryContext(ctx, query.SQL.String(), query.Vars...)
	if err != nil {
		return nil, fmt.Errorf("read the written rows: %w", err)
	}
	found, _, err := scanRows(ctx, rows, m.schema)
	if err != nil {
		return nil, fmt.Errorf("read the written rows: %w", err)
	}
	byKey := make(map[string]reflect.Value, len(found))
	for _, row := range found {
		if key, err := keyOf(ctx, m.schema, row); err == nil {
			byKey[key.text] = row
		}
	}
	ordered := make([]reflect.Value, 0, len(found))
	for _, row := range keyed {
		key, err := keyOf(ctx, m.schema, row)
		if err != nil {
			return nil, err
		}
		if row, ok := byKey[key.text]; ok {
			ordered = append(ordered, row)
		}
	}
	return ordered, nil
}

func keyCondition(ctx context.Context, s *schema.Schema, rows []reflect.Value) clause.Expression {
	columns := make([]clause.Column, len(s.PrimaryFields))
	for i, field := range s.PrimaryFields {
		columns[i] = clause.Column{Table: clause.CurrentTable, Name: field.DBName}
	}
	values := make([]any, len(rows))
	for i, row := range rows {
		parts := make([]any, len(s.PrimaryFields))
		for j, field := range s.PrimaryFields {
			parts[j], _ = field.ValueOf(ctx, row)
		}
		values[i] = parts
		if len(parts) == 1 {
			values[i] = parts[0]
		}
	}
	if len(columns) == 1 {
		return clause.IN{Column: columns[0], Values: values}
	}
	return clause.IN{Column: columns, Values: values}
}

// scanRows reads rows into new structs, to the end, which is what makes the
// database finish a statement with RETURNING. A row that the model cannot take
// is counted but missing: the statement has succeeded nevertheless. Columns
// that the model does not have are passed over.
func scanRows(ctx context.Context, rows *sql.Rows, s *schema.Schema) (scanned []reflect.Value, count int, err error) {
	defer func() {
		if closeErr := rows.Close(); err == nil {
			err = closeErr
		}
	}()
	columns, err := rows.Columns()
	if err != nil {
		return nil, 0, err
	}
	fields := make([]*schema.Field, len(columns))
	for i, column := range columns {
		fields[i] = s.FieldsByDBName[column]
	}
	for rows.Next() {
		count++
		if row, err := scanRow(ctx, rows, s, fields); err == nil {
			scanned = append(scanned, row)
		}
	}
	return scanned, count, rows.Err()
}

func scanRow(ctx context.Context, rows *sql.Rows, s *schema.Schema, fields []*schema.Field) (row reflect.Value, err error) {
	defer recovered(&err) // a Scanner is the user's code
	row = reflect.New(s.ModelType).Elem()
	values := make([]any, len(fields))
	for i, field := range fields {
		if field == nil {
			values[i] = new(any)
			continue
		}
		values[i] = field.NewValuePool.Get()
		defer field.NewValuePool.Put(values[i])
	}
	if err := rows.Scan(values...); err != nil {
		return row, err
	}
	for i, field := range fields {
		if field == nil {
			continue
		}
		if err := field.Set(ctx, row, values[i]); err != nil {
			return row, err
		}
	}
	return row, nil
}
