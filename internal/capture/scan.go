package capture

import (
	"context"
	"database/sql"
	"reflect"
	"slices"

	"github.com/rohrpost/rohrpost/internal/panics"
)

// scanner puts the columns of a result into structs of a model.
type scanner struct {
	places []place // by column
	cells  []any
	value  reflect.Value // of the struct that is filled

	structs structs
	space   [8]any // most statements read few columns: no further allocation for cells
}

// structs makes structs of one type. Those of many rows lie together, so that the memory
// of a large statement is not managed one by one.
type structs struct {
	made int
	free reflect.Value // a slice
}

func (s *structs) next(t reflect.Type) reflect.Value {
	const together = 64
	if s.made++; s.made <= together/8 {
		return reflect.New(t).Elem()
	}
	if !s.free.IsValid() || s.free.Len() == 0 {
		s.free = reflect.MakeSlice(reflect.SliceOf(t), together, together)
	}
	next := s.free.Index(0)
	s.free = s.free.Slice(1, s.free.Len())
	return next
}

// scanRows reads to the end: only then the database finishes a statement with
// RETURNING. It appends the rows to scanned. It counts rows beyond maxRows, and rows that
// the model cannot take, but does not return them: the statement has succeeded
// nevertheless. The columns are those of the places. If not all of them are read, it keeps
// only the keys.
func scanRows(ctx context.Context, rows *sql.Rows, t *Table, l *layout, e extent, scanned []Row) (_ []Row, count int, err error) {
	defer func() {
		if closeErr := rows.Close(); err == nil {
			err = closeErr
		}
	}()
	s := newScanner(l.places(e))
	defer s.putBack()
	for rows.Next() {
		if count++; count > maxRows {
			continue
		}
		if s.value == (reflect.Value{}) || e > keyColumns {
			s.value = s.structs.next(t.schema.ModelType)
		}
		if s.scan(ctx, rows) != nil {
			continue
		}
		read := newRow(ctx, t, s.value)
		if e == keyColumns {
			read.After = reflect.Value{}
		}
		scanned = append(scanned, read)
	}
	return scanned, count, rows.Err()
}

func newScanner(places []place) *scanner {
	sc := &scanner{places: places}
	sc.cells = slices.Grow(sc.space[:0], len(places))
	for i := range places {
		sc.cells = append(sc.cells, places[i].field.NewValuePool.Get())
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
