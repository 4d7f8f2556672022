package rohrpost

import (
	"context"
	"database/sql"
	"fmt"
	"reflect"
	"slices"

	"github.com/rohrpost/rohrpost/internal/panics"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"
)

const (
	maxRows   = 10_000 // of one statement or transaction that are looked at one by one
	keyedRows = 1000   // in one SELECT by keys: databases limit the parameters
)

// row is a row of the database that a statement changes.
type row struct {
	value reflect.Value // of the struct, addressable; invalid where only the key was read
	key   rowKey        // zero where there is none, which matters only where one is used
}

func newRow(ctx context.Context, s *schema.Schema, value reflect.Value) row {
	key, _ := keyOf(ctx, s, value)
	return row{value, key}
}

// keyErr says why the row has no key.
func (r *row) keyErr(ctx context.Context, m *model) error {
	_, err := keyOf(ctx, m.schema, r.value)
	return err
}

// elements returns the structs of a statement's value: itself, or those of a
// slice or array of structs or pointers. They are appended to values.
func elements(values []reflect.Value, value reflect.Value) []reflect.Value {
	switch value.Kind() {
	case reflect.Struct:
		return append(values, value)
	case reflect.Slice, reflect.Array:
		values = slices.Grow(values, value.Len())
		for i := range value.Len() {
			if element := reflect.Indirect(value.Index(i)); element.Kind() == reflect.Struct {
				values = append(values, element)
			}
		}
	}
	return values
}

// mapElements makes structs that hold only the key of what was created from a
// map or several. A given key stands in the statement; GORM may overwrite it in
// the map, where it puts a generated one.
func mapElements(stmt *gorm.Statement) ([]reflect.Value, error) {
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
	elements := make([]reflect.Value, 0, len(maps))
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
			if err := field.Set(stmt.Context, element, part); err != nil {
				return nil, fmt.Errorf("set %s: %w", field.Name, err)
			}
		}
		elements = append(elements, element)
	}
	return elements, nil
}

// reading begins a SELECT on the table of a statement; it runs no callbacks.
func reading(db *gorm.DB, m *model, whole bool) *gorm.Statement {
	q := db.Session(&gorm.Session{NewDB: true}).Unscoped().Statement
	q.Schema, q.Table, q.TableExpr = m.schema, db.Statement.Table, db.Statement.TableExpr
	columns := m.keyColumns()
	if whole || len(columns) == 0 {
		columns = []clause.Column{{Name: q.Quote(clause.Table{Name: q.Table}) + ".*", Raw: true}}
	}
	q.AddClause(clause.Select{Columns: columns})
	q.AddClause(clause.From{})
	return q
}

// selectRows reads the whole rows with the keys of the given ones, in their
// order; those that are not there are left out.
func selectRows(db *gorm.DB, pool gorm.ConnPool, m *model, keyed []row) ([]row, error) {
	ordered := make([]row, 0, len(keyed))
	for keys := range slices.Chunk(keyed, keyedRows) {
		q := reading(db, m, true)
		q.AddClause(clause.Where{Exprs: []clause.Expression{keyCondition(q.Context, m, keys)}})
		q.Build("SELECT", "FROM", "WHERE")
		found, _, err := queryRows(q, pool, m, true)
		if err != nil {
			return nil, err
		}
		byKey := make(map[string]row, len(found))
		for _, row := range found {
			byKey[row.key.text] = row
		}
		for _, key := range keys {
			if key.key.json == "" {
				return nil, key.keyErr(q.Context, m)
			}
			if row, ok := byKey[key.key.text]; ok {
				ordered = append(ordered, row)
			}
		}
	}
	return ordered, nil
}

// keyCondition holds for the rows with the given keys.
func keyCondition(ctx context.Context, m *model, rows []row) clause.Expression {
	tuples := make([][]any, len(rows))
	for i, row := range rows {
		for _, field := range m.schema.PrimaryFields {
			part, _ := field.ValueOf(ctx, row.value)
			tuples[i] = append(tuples[i], part)
		}
	}
	return in(m.keyColumns(), tuples)
}

// in holds for the rows whose columns have the values of one of the tuples.
func in(columns []clause.Column, tuples [][]any) clause.Expression {
	values := make([]any, len(tuples))
	for i, tuple := range tuples {
		values[i] = tuple
		if len(columns) == 1 {
			values[i] = tuple[0]
		}
	}
	if len(columns) == 1 {
		return clause.IN{Column: columns[0], Values: values}
	}
	return clause.IN{Column: columns, Values: values}
}

// queryRows runs a SELECT that is built.
func queryRows(q *gorm.Statement, pool gorm.ConnPool, m *model, whole bool) ([]row, int, error) {
	rows, err := pool.QueryContext(q.Context, q.SQL.String(), q.Vars...)
	if err != nil {
		return nil, 0, fmt.Errorf("read the rows: %w", err)
	}
	read, count, err := scanRows(q.Context, rows, m, whole)
	if err != nil {
		return nil, 0, fmt.Errorf("read the rows: %w", err)
	}
	return read, count, nil
}

// scanRows reads to the end, which is what makes the database finish a
// statement with RETURNING. Rows beyond maxRows, and one that the model cannot
// take, are counted but missing: the statement has succeeded nevertheless.
// Columns that the model does not have are passed over. Without structs only the
// keys are kept.
func scanRows(ctx context.Context, rows *sql.Rows, m *model, structs bool) (scanned []row, count int, err error) {
	defer func() {
		if closeErr := rows.Close(); err == nil {
			err = closeErr
		}
	}()
	columns, err := rows.Columns()
	if err != nil {
		return nil, 0, err
	}
	s := newScanner(m.schema, columns)
	defer s.close()
	for rows.Next() {
		if count++; count > maxRows {
			continue
		}
		if s.value == (reflect.Value{}) || structs {
			s.value = reflect.New(m.schema.ModelType).Elem()
		}
		if s.scan(ctx, rows) != nil {
			continue
		}
		read := newRow(ctx, m.schema, s.value)
		if !structs {
			read.value = reflect.Value{}
		}
		scanned = append(scanned, read)
	}
	return scanned, count, rows.Err()
}

// scanner puts the columns of a result into structs of a model.
type scanner struct {
	fields []*schema.Field // by column; nil: the model has none
	cells  []any
	value  reflect.Value // of the struct that is filled
}

func newScanner(s *schema.Schema, columns []string) *scanner {
	sc := &scanner{fields: make([]*schema.Field, len(columns)), cells: make([]any, len(columns))}
	for i, column := range columns {
		sc.fields[i] = s.FieldsByDBName[column]
		if sc.fields[i] == nil {
			sc.cells[i] = new(any)
		} else {
			sc.cells[i] = sc.fields[i].NewValuePool.Get()
		}
	}
	return sc
}

func (sc *scanner) close() {
	for i, field := range sc.fields {
		if field != nil {
			field.NewValuePool.Put(sc.cells[i])
		}
	}
}

func (sc *scanner) scan(ctx context.Context, rows *sql.Rows) (err error) {
	defer panics.Recover(&err) // a Scanner is the user's code
	if err := rows.Scan(sc.cells...); err != nil {
		return err
	}
	for i, field := range sc.fields {
		if field == nil {
			continue
		}
		if err := field.Set(ctx, sc.value, sc.cells[i]); err != nil {
			return err
		}
	}
	return nil
}
