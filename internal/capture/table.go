package capture

import (
	"context"
	"database/sql/driver"
	"reflect"
	"slices"
	"strings"
	"time"

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
	interest  Interest
	failure   error // why the consumer can use none of its rows
	byName    map[string]*Column
	soft      []*schema.Field   // the columns that a soft delete sets
	unique    [][]*schema.Field // the primary key and the unique indexes
	unwritten bool              // it has columns that a create does not write
	defaults  bool              // it has columns that the database fills, besides the key
}

// Column is a column of a table.
type Column struct {
	Name        string
	PrimaryKey  bool
	KeyPart     int // the index in the primary key, -1 for other columns
	AutoUpdated bool
	Field       reflect.StructField

	field *schema.Field
}

// NewTable returns the table of a parsed model.
func NewTable(s *schema.Schema) *Table {
	t := &Table{Model: s.ModelType, Name: typeName(s.ModelType), schema: s, byName: map[string]*Column{}}
	softDelete := reflect.TypeFor[schema.DeleteClausesInterface]()
	for _, field := range s.Fields {
		if field.DBName == "" || s.FieldsByDBName[field.DBName] != field {
			continue
		}
		c := &Column{
			Name: field.DBName, PrimaryKey: field.PrimaryKey, KeyPart: slices.Index(s.PrimaryFields, field),
			AutoUpdated: field.AutoUpdateTime > 0, Field: field.StructField, field: field,
		}
		t.Columns = append(t.Columns, c)
		t.byName[c.Name] = c
		t.unwritten = t.unwritten || !field.Creatable
		t.defaults = t.defaults || field.HasDefaultValue && field.DefaultValueInterface == nil && !field.PrimaryKey
		if field.IndirectFieldType.Implements(softDelete) || reflect.PointerTo(field.IndirectFieldType).Implements(softDelete) {
			t.soft = append(t.soft, field)
		}
	}
	t.SoftDelete = len(t.soft) > 0
	return t
}

// Interest returns the consumer's interest in the table.
func (t *Table) Interest() Interest { return t.interest }

// Column returns the column with the name in the database, nil if there is none.
func (t *Table) Column(name string) *Column { return t.byName[name] }

// Hidden reports whether a row is soft-deleted.
func (t *Table) Hidden(ctx context.Context, row reflect.Value) bool {
	for _, field := range t.soft {
		if value, isZero := field.ValueOf(ctx, row); !isZero && !isZeroValue(field, value) {
			return true
		}
	}
	return false
}

// Text renders the column of a row as a group name can carry it.
func (c *Column) Text(ctx context.Context, row reflect.Value) (string, error) {
	value, _ := c.field.ValueOf(ctx, row)
	text, _, err := keyText(value)
	return text, err
}

// uniqueColumns returns the sets of columns that two rows cannot share.
func uniqueColumns(s *schema.Schema) (sets [][]*schema.Field) {
	if len(s.PrimaryFields) > 0 {
		sets = append(sets, s.PrimaryFields)
	}
	for _, field := range s.Fields {
		if field.Unique && field.DBName != "" {
			sets = append(sets, []*schema.Field{field})
		}
	}
	for _, index := range s.ParseIndexes() {
		if index.Class != "UNIQUE" {
			continue
		}
		var set []*schema.Field
		for _, option := range index.Fields {
			set = append(set, option.Field)
		}
		sets = append(sets, set)
	}
	return sets
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
func (t *Table) keyColumns() []clause.Column { return currentColumns(t.schema.PrimaryFields) }

func currentColumns(fields []*schema.Field) []clause.Column {
	columns := make([]clause.Column, len(fields))
	for i, field := range fields {
		columns[i] = clause.Column{Table: clause.CurrentTable, Name: field.DBName}
	}
	return columns
}

// typeName returns the type's name as group names use it: "Box[int]" becomes "box".
func typeName(t reflect.Type) string {
	name, _, _ := strings.Cut(t.Name(), "[")
	return strings.ToLower(name)
}
