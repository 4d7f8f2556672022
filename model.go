package rohrpost

import (
	"context"
	"database/sql/driver"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/rohrpost/rohrpost/internal/wire"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"
)

// model is what the plugin knows of one marked type: which writes are
// announced, to which group, and what must be read for it.
type model struct {
	name   string // of the type, lower case, without type parameters
	schema *schema.Schema
	tags   [len(writes)]*tag // by operation; nil: not announced
	folded [len(writes)]bool // followed for its net effect only, not announced
	soft   []*schema.Field   // what a soft delete sets; none: deletes are real
	unique [][]*schema.Field // the primary key and the unique indexes
	silent any               // the context key of SilentFor
	json   map[string]string // names of updated fields by column; nil: the columns

	namesGroup  bool // the type implements GroupNamer
	namesGroups bool // the type implements GroupsNamer
	pushesData  bool // the type implements PushNotifier
	unwritten   bool // it has columns that a create does not write
	defaults    bool // it has columns that the database fills, besides the key
}

// newModel returns nil for a type without a marker.
func newModel(s *schema.Schema, config PluginConfig) (*model, error) {
	m := &model{name: typeName(s.ModelType), schema: s, silent: silentFor{s.ModelType}}
	var first *tag
	for op, text := range marks(s.ModelType) {
		if text == nil {
			continue
		}
		parsed, err := parseTag(text.Get("rohrpost"), s)
		if err != nil {
			return nil, err
		}
		m.tags[op] = parsed
		if first == nil {
			first = parsed
		}
	}
	if first == nil {
		return nil, nil
	}
	for op := range m.tags {
		if config.NetEffect && m.tags[op] == nil {
			m.tags[op], m.folded[op] = first, true
		}
	}
	pointer := reflect.PointerTo(s.ModelType)
	m.namesGroup = pointer.Implements(reflect.TypeFor[GroupNamer]())
	m.namesGroups = pointer.Implements(reflect.TypeFor[GroupsNamer]())
	m.pushesData = pointer.Implements(reflect.TypeFor[PushNotifier]())
	m.learnFields()
	m.unique = uniqueColumns(s)
	if config.JSONNames {
		m.json = jsonNames(s)
	}
	return m, nil
}

func (m *model) learnFields() {
	softDelete := reflect.TypeFor[schema.DeleteClausesInterface]()
	for _, field := range m.schema.Fields {
		if field.DBName == "" {
			continue
		}
		m.unwritten = m.unwritten || !field.Creatable
		m.defaults = m.defaults || field.HasDefaultValue && field.DefaultValueInterface == nil && !field.PrimaryKey
		if field.IndirectFieldType.Implements(softDelete) || reflect.PointerTo(field.IndirectFieldType).Implements(softDelete) {
			m.soft = append(m.soft, field)
		}
	}
}

// uniqueColumns are the sets of columns that two rows cannot share.
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

// jsonNames are the names of the columns in the JSON of the struct, by the
// rules of encoding/json; "" for a field that is not in it.
func jsonNames(s *schema.Schema) map[string]string {
	names := map[string]string{}
	for _, field := range s.Fields {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case field.Tag.Get("json") == "-":
			name = ""
		case name == "":
			name = field.StructField.Name
		}
		names[field.DBName] = name
	}
	return names
}

// announces reports whether writes of this kind matter.
func (m *model) announces(op operation) bool { return m.tags[op] != nil }

// needsRow reports whether more than the key of a written row must be known.
func (m *model) needsRow(op operation) bool {
	return m.namesGroup || m.namesGroups || m.pushesData || m.tags[op] != nil && m.tags[op].group.columns
}

// moves reports whether an update that sets the columns may take a row out of
// one group and into another. A method may depend on any column, unless the tag
// says on which.
func (m *model) moves(set []string) bool {
	tag := m.tags[updating]
	if tag == nil {
		return false
	}
	return slices.ContainsFunc(set, func(column string) bool {
		switch field := m.schema.FieldsByDBName[column]; {
		case field == nil:
			return false
		case field.PrimaryKey:
			return true
		case tag.depends != nil:
			return slices.Contains(tag.depends, column)
		case m.namesGroup || m.namesGroups:
			return field.AutoUpdateTime == 0
		default:
			return tag.group.dependsOn(column)
		}
	})
}

// wanted reports whether an update that sets the columns is announced at all.
func (m *model) wanted(set []string) bool {
	tag := m.tags[updating]
	return tag != nil && (tag.fields == nil || slices.ContainsFunc(set, func(column string) bool {
		return slices.Contains(tag.fields, column)
	}))
}

// isKey reports whether the column is of the primary key.
func (m *model) isKey(column string) bool {
	field := m.schema.FieldsByDBName[column]
	return field != nil && field.PrimaryKey
}

// isSoft reports whether the column is one that a soft delete sets.
func (m *model) isSoft(column string) bool {
	return slices.ContainsFunc(m.soft, func(field *schema.Field) bool { return field.DBName == column })
}

// live reports whether the row is there for the application: not soft-deleted.
// A row of which only the key was read is.
func (m *model) live(ctx context.Context, row *row) bool {
	if !row.value.IsValid() {
		return true
	}
	for _, field := range m.soft {
		if value, isZero := field.ValueOf(ctx, row.value); !isZero && !isZeroValue(field, value) {
			return false
		}
	}
	return true
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

// names turns columns into the names that updated fields have in messages.
func (m *model) names(set []string) []string {
	if m.json == nil || set == nil {
		return set
	}
	var names []string
	for _, column := range set {
		if name, known := m.json[column]; !known {
			names = append(names, column)
		} else if name != "" {
			names = append(names, name)
		}
	}
	return names
}

// patterns match every group that a change of the model can be for.
func (m *model) patterns() []string {
	if m.namesGroup || m.namesGroups {
		return []string{wire.AnyGroup}
	}
	var patterns []string
	for _, tag := range m.tags {
		if tag == nil {
			continue
		}
		if pattern := tag.group.pattern(m.name); !slices.Contains(patterns, pattern) {
			patterns = append(patterns, pattern)
		}
	}
	return patterns
}

// keyColumns name the primary key in a statement on the model's table.
func (m *model) keyColumns() []clause.Column {
	columns := make([]clause.Column, len(m.schema.PrimaryFields))
	for i, field := range m.schema.PrimaryFields {
		columns[i] = clause.Column{Table: clause.CurrentTable, Name: field.DBName}
	}
	return columns
}

// typeName is the type's name as group names use it: "Box[int]" becomes "box".
func typeName(t reflect.Type) string {
	name, _, _ := strings.Cut(t.Name(), "[")
	return strings.ToLower(name)
}
