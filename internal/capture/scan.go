package capture

import (
	"context"
	"database/sql"
	"reflect"

	"github.com/rohrpost/rohrpost/internal/panics"
	"gorm.io/gorm/schema"
)

// scanner puts the columns of a result into structs of a model.
type scanner struct {
	fields []*schema.Field // by column; nil: the model has none
	cells  []any
	value  reflect.Value // of the struct that is filled
}

// scanRows reads to the end: only then the database finishes a statement with
// RETURNING. It counts rows beyond maxRows, and rows that the model cannot take, but
// does not return them: the statement has succeeded nevertheless. It skips columns that
// the model does not have. Without structs it keeps only the keys.
func scanRows(ctx context.Context, rows *sql.Rows, t *Table, structs bool) (scanned []Row, count int, err error) {
	defer func() {
		if closeErr := rows.Close(); err == nil {
			err = closeErr
		}
	}()
	columns, err := rows.Columns()
	if err != nil {
		return nil, 0, err
	}
	s := newScanner(t.schema, columns)
	defer s.putBack()
	for rows.Next() {
		if count++; count > maxRows {
			continue
		}
		if s.value == (reflect.Value{}) || structs {
			s.value = reflect.New(t.schema.ModelType).Elem()
		}
		if s.scan(ctx, rows) != nil {
			continue
		}
		read := newRow(ctx, t, s.value)
		if !structs {
			read.After = reflect.Value{}
		}
		scanned = append(scanned, read)
	}
	return scanned, count, rows.Err()
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

func (sc *scanner) putBack() {
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
