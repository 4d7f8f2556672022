package rohrpost

import (
	"errors"
	"reflect"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// upsert tells what an INSERT … ON CONFLICT does to each row. Save of an
// unknown key and the saving of associations are such creates too.
type upsert struct {
	nothing bool            // an existing row stays as it is
	fields  []string        // what an existing row is given; nil: the whole row
	existed map[string]bool // the keys that were there before
	err     error           // why it cannot be told
}

// newUpsert runs before the statement: it looks which of the rows exist.
func newUpsert(db *gorm.DB, m *model, conflict clause.OnConflict) *upsert {
	u := &upsert{nothing: conflict.DoNothing, existed: map[string]bool{}}
	for _, assignment := range conflict.DoUpdates {
		field := m.schema.FieldsByDBName[assignment.Column.Name]
		if field == nil || field.AutoUpdateTime == 0 {
			u.fields = append(u.fields, assignment.Column.Name)
		}
	}
	stmt := db.Statement
	rows := elements(nil, stmt.ReflectValue)
	var keyed []reflect.Value
	for _, row := range rows {
		if hasKey(stmt.Context, m.schema, row) {
			keyed = append(keyed, row)
		}
	}
	if !onKey(m, conflict) || conflict.DoNothing && len(rows) > 1 && len(keyed) < len(rows) {
		u.err = errors.New("ON CONFLICT does not tell created from existing rows here")
		return u
	}
	existing, err := selectRows(db, m, keyed)
	if err != nil {
		u.err = err
		return u
	}
	for _, row := range existing {
		key, err := keyOf(stmt.Context, m.schema, row)
		if err != nil {
			u.err = err
			return u
		}
		u.existed[key.text] = true
	}
	return u
}

// onKey reports whether the conflict is one of the primary key: the only one
// that can be foreseen.
func onKey(m *model, conflict clause.OnConflict) bool {
	if conflict.OnConstraint != "" {
		return false
	}
	for _, column := range conflict.Columns {
		if field := m.schema.FieldsByDBName[column.Name]; field == nil || !field.PrimaryKey {
			return false
		}
	}
	return true
}

// judge sets what the statement did to the row, and returns false where nothing.
func (u *upsert) judge(row *writtenRow) bool {
	if !u.existed[row.key.text] {
		return true
	}
	row.op, row.fields = updating, u.fields
	return !u.nothing
}
