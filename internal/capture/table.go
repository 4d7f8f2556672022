package capture

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rohrpost/rohrpost/internal/panics"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"
)

// Table describes the table of a model.
type Table struct {
	Model      reflect.Type
	Name       string    // of the model's type, in lower case, without type parameters
	Columns    []*Column // in the order of the struct's fields
	SoftDelete bool      // deletes only mark rows as deleted

	schema    *schema.Schema
	encoders  []Encoder              // of the columns of the key; nil: JSON has their text
	layout    atomic.Pointer[layout] // of the model's own table
	layouts   sync.Map               // name of another table -> *layout
	interest  Interest
	failure   error // why the consumer can use none of its rows
	byName    map[string]*Column
	soft      []*schema.Field // the columns that a soft delete sets
	cleared   []*schema.Field // those of them that it sets to zero, such as "active"
	unwritten bool            // it has columns that a create does not write
	defaults  bool            // it has columns that the database fills, besides the key
	numberKey bool            // its key is of numbers, which have one spelling
}

// Column is a column of a table.
type Column struct {
	Name        string
	PrimaryKey  bool
	Readable    bool // it is read from the table
	ReadOnly    bool // it is never written: the database makes it
	KeyPart     int  // the index in the primary key, -1 for other columns
	AutoUpdated bool
	Field       reflect.StructField

	field *schema.Field
}

// NewTable returns the table of a parsed model. The handle tells what a delete of a row
// does. Without one a table has no soft deletes.
func NewTable(db *gorm.DB, s *schema.Schema) *Table {
	t := &Table{Model: s.ModelType, Name: typeName(s.ModelType), schema: s, byName: map[string]*Column{}, numberKey: isNumberKey(s)}
	for _, field := range s.Fields {
		if field.DBName == "" || s.FieldsByDBName[field.DBName] != field {
			continue
		}
		c := &Column{
			Name: field.DBName, PrimaryKey: field.PrimaryKey, KeyPart: slices.Index(s.PrimaryFields, field),
			Readable: field.Readable, ReadOnly: !field.Creatable && !field.Updatable,
			AutoUpdated: field.AutoUpdateTime > 0, Field: field.StructField, field: field,
		}
		t.Columns = append(t.Columns, c)
		t.byName[c.Name] = c
		t.unwritten = t.unwritten || !field.Creatable
		t.defaults = t.defaults || field.HasDefaultValue && field.DefaultValueInterface == nil && !field.PrimaryKey
		if db == nil {
			continue
		}
		if soft, clears := deletesSoftly(db, s, field); soft {
			t.soft = append(t.soft, field)
			if clears {
				t.cleared = append(t.cleared, field)
			}
		}
	}
	for _, field := range s.PrimaryFields {
		t.encoders = append(t.encoders, keyEncoder(field))
	}
	t.SoftDelete = len(t.soft) > 0
	return t
}

// deletesSoftly reports whether the type of a field turns a DELETE into another
// statement, and whether that one sets it to zero. It may as well only narrow it, so that
// the clauses are tried.
func deletesSoftly(db *gorm.DB, s *schema.Schema, field *schema.Field) (soft, clears bool) {
	value, ok := reflect.New(field.IndirectFieldType).Interface().(schema.DeleteClausesInterface)
	if !ok {
		return false, false
	}
	_ = panics.Guard(func() error { // the clauses are the user's code
		for _, c := range value.DeleteClauses(field) {
			row := reflect.New(s.ModelType)
			stmt := db.Session(&gorm.Session{NewDB: true, DryRun: true}).Model(row.Interface()).Statement
			stmt.Schema, stmt.Table, stmt.Dest, stmt.ReflectValue = s, s.Table, stmt.Model, row.Elem()
			stmt.AddClause(c)
			_, sets := stmt.Clauses["SET"]
			soft = soft || sets || stmt.SQL.Len() > 0
			set, _ := stmt.Clauses["SET"].Expression.(clause.Set)
			clears = clears || slices.ContainsFunc(set, func(a clause.Assignment) bool {
				return a.Column.Name == field.DBName && isNull(a.Value)
			})
		}
		return nil
	})
	return soft, clears
}

// isNull reports whether a value is null or zero in the database.
func isNull(value any) bool {
	if value == nil {
		return true
	}
	if v := reflect.ValueOf(value); v.Kind() != reflect.Struct && v.IsZero() { // a zero time is none
		return true
	}
	if valuer, ok := value.(driver.Valuer); ok {
		plain, err := valuer.Value()
		return err == nil && plain == nil
	}
	return false
}

// Interest returns the consumer's interest in the table.
func (t *Table) Interest() Interest { return t.interest }

// Column returns the column with the name in the database, nil if there is none.
func (t *Table) Column(name string) *Column { return t.byName[name] }

// nameOf returns the name of a column that a statement may spell with other capitals, quote
// and qualify. It returns other names as they are.
func (t *Table) nameOf(name string) string {
	if t.byName[name] != nil {
		return name
	}
	last := strings.Trim(name[strings.LastIndexByte(name, '.')+1:], "\"`[]")
	for _, c := range t.Columns {
		if strings.EqualFold(c.Name, last) {
			return c.Name
		}
	}
	return name
}

// setByAny returns the columns that an update may set which does not tell them.
func (t *Table) setByAny() (columns []string) {
	for _, c := range t.Columns {
		if !c.PrimaryKey && !c.ReadOnly {
			columns = append(columns, c.Name)
		}
	}
	return columns
}

// KeyParts returns the number of columns of the primary key.
func (t *Table) KeyParts() int { return len(t.schema.PrimaryFields) }

// Hidden reports whether a row is soft-deleted.
func (t *Table) Hidden(ctx context.Context, row reflect.Value) bool {
	for _, field := range t.soft {
		value, isZero := field.ValueOf(ctx, row)
		isZero = isZero || isZeroValue(field, value)
		if isZero == slices.Contains(t.cleared, field) {
			return true
		}
	}
	return false
}

// Text renders the column of a row as a group name can carry it. It is not there where
// the column is null.
func (c *Column) Text(ctx context.Context, row reflect.Value) (text string, there bool, err error) {
	text, _, err = fieldText(ctx, c.field, row)
	if errors.Is(err, errNull) {
		return "", false, nil
	}
	return text, true, err
}

// NamesGroups returns an error where the column cannot be part of a group name: one that
// is never read, and one of truths or of numbers that have many spellings.
func (c *Column) NamesGroups() error {
	switch {
	case !c.field.Readable:
		return fmt.Errorf("the column %q is never read", c.Name)
	case c.field.GORMDataType == schema.Bool, c.field.GORMDataType == schema.Float:
		return fmt.Errorf("the column %q is a %s, which no group name can carry", c.Name, c.field.GORMDataType)
	}
	return nil
}

// Value returns the column's field in a row. It is not valid behind a nil pointer.
func (c *Column) Value(row reflect.Value) reflect.Value { return fieldOf(c.field, row) }

// needs reports whether the consumer looks at a field, or the plugin itself does.
func (t *Table) needs(field *schema.Field) bool {
	reads := t.interest.Reads()
	return reads == nil || field.PrimaryKey || slices.Contains(reads, field.DBName) || slices.Contains(t.soft, field)
}

// isKey reports whether the column is of the primary key.
func (t *Table) isKey(column string) bool {
	return t.byName[column] != nil && t.byName[column].PrimaryKey
}

// isSoft reports whether a soft delete sets the column.
func (t *Table) isSoft(column string) bool {
	return slices.ContainsFunc(t.soft, func(field *schema.Field) bool { return field.DBName == column })
}

// isAutoUpdated reports whether GORM sets the column to the time of an update.
func (t *Table) isAutoUpdated(column string) bool {
	return t.byName[column] != nil && t.byName[column].AutoUpdated
}

// isZeroValue reports whether a soft delete field holds the time that stands for
// "not deleted", which gorm:"zeroValue:…" may set.
func isZeroValue(field *schema.Field, value any) bool {
	text, set := field.TagSettings["ZEROVALUE"]
	text = strings.Trim(text, "'")
	valuer, ok := value.(driver.Valuer)
	if !set || !ok {
		return false
	}
	plain, _ := valuer.Value()
	deleted, ok := plain.(time.Time)
	for _, layout := range []string{time.DateTime, time.DateOnly, time.RFC3339} {
		if zero, err := time.Parse(layout, text); err == nil && ok {
			return deleted.Format(time.DateTime) == zero.Format(time.DateTime)
		}
	}
	return false
}

// showAsLive resets the columns that a soft delete has set, in memory.
func (t *Table) showAsLive(ctx context.Context, row reflect.Value) {
	for _, field := range t.soft {
		field.ReflectValueOf(ctx, row).SetZero()
	}
}

// keyColumns name the primary key in a statement on the table.
func (t *Table) keyColumns() []clause.Column { return columnsNamed(t.schema.PrimaryFieldDBNames) }

// columnsNamed name columns in a statement on the table.
func columnsNamed(names []string) []clause.Column {
	columns := make([]clause.Column, len(names))
	for i, name := range names {
		columns[i] = clause.Column{Table: clause.CurrentTable, Name: name}
	}
	return columns
}

// typeName returns the type's name as group names use it: "Box[int]" becomes "box".
func typeName(t reflect.Type) string {
	name, _, _ := strings.Cut(t.Name(), "[")
	return strings.ToLower(name)
}
