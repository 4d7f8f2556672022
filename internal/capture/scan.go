package capture

import (
	"context"
	"database/sql"
	"reflect"

	"github.com/rohrpost/rohrpost/internal/panics"
)

// scanner puts the columns of a result into structs of a model.
type scanner struct {
	places []place // by column
	cells  []any
	value  reflect.Value // of the struct that is filled
}

// scanRows reads to the end: only then the database finishes a statement with
// RETURNING. It counts rows beyond maxRows, and rows that the model cannot take, but
// does not return them: the statement has succeeded nevertheless. The columns are those
// of the places. If not all of them are read, it keeps only the keys.
func scanRows(ctx context.Context, rows *sql.Rows, t *Table, l *layout, whole bool) (scanned []Row, count int, err error) {
	defer func() {
		if closeErr := rows.Close(); err == nil {
			err = closeErr
		}
	}()
	s := newScanner(l.places(whole))
	defer s.putBack()
	for rows.Next() {
		if count++; count > maxRows {
			continue
		}
		if s.value == (reflect.Value{}) || whole {
			s.value = reflect.New(t.schema.ModelType).Elem()
		}
		if s.scan(ctx, rows) != nil {
			continue
		}
		read := newRow(ctx, t, s.value)
		if !whole {
			read.After = reflect.Value{}
		}
		scanned = append(scanned, read)
	}
	return scanned, count, rows.Err()
}

func newScanner(places []place) *scanner {
	sc := &scanner{places: places, cells: make([]any, len(places))}
	for i := range places {
		sc.cells[i] = places[i].field.NewValuePool.Get()
	}
	return sc
}

func (sc *scanner) putBack() {
	for i := range sc.places {
		sc.places[i].field.NewValuePool.Put(sc.cells[i])
	}
}

func (sc *scanner) scan(ctx context.Context, rows *sql.Rows) (err error) {
	defer panics.Recover(&err) // a Scanner is the user's code
	if err := rows.Scan(sc.cells...); err != nil {
		return err
	}
	for i := range sc.places {
		if err := sc.places[i].field.Set(ctx, sc.value, sc.cells[i]); err != nil {
			return err
		}
	}
	return nil
}
