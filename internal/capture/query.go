package capture

import (
	"reflect"

	"github.com/rohrpost/rohrpost/internal/panics"
	"gorm.io/gorm"
	"gorm.io/gorm/callbacks"
)

// Query calls f with a handle on the connection of the statement, in its transaction. It
// recovers a panic. A failure of f does not end the caller's transaction. Where the server
// has ended it, the caller's write returns the error.
func (s *Statement) Query(f func(tx *gorm.DB) error) error {
	g := newGuard(s.pool, dialectOf(s.db))
	err := g.set(s.Context)
	if err == nil {
		tx := s.db.Session(&gorm.Session{NewDB: true, Context: s.Context})
		tx.Statement.ConnPool = s.pool
		err = panics.Guard(func() error { return f(tx) })
	}
	if ended := g.end(s.Context, err); ended != nil {
		s.ended = ended
	}
	return err
}

// Preload loads associations into structs of the table's model.
func (s *Statement) Preload(rows []reflect.Value, names []string) error {
	pointers := reflect.MakeSlice(reflect.SliceOf(reflect.PointerTo(s.Table.Model)), 0, len(rows))
	for _, row := range rows {
		pointers = reflect.Append(pointers, row.Addr())
	}
	return s.Query(func(tx *gorm.DB) error {
		for _, name := range names {
			tx = tx.Preload(name)
		}
		tx.Statement.Schema, tx.Statement.Dest, tx.Statement.ReflectValue = s.Table.schema, pointers.Interface(), pointers
		callbacks.Preload(tx)
		return tx.Error
	})
}

// HasAssociation reports whether the model has an association with the name.
func (t *Table) HasAssociation(name string) bool {
	_, has := t.schema.Relationships.Relations[name]
	return has
}
