package rohrpost

import (
	"fmt"
	"reflect"
	"strings"

	"gorm.io/gorm/schema"
)

// model is what the plugin knows of one marked type: which writes are
// announced, to which group, and what must be read for it.
type model struct {
	name   string // of the type, lower case, without type parameters
	schema *schema.Schema
	groups [len(writes)]*groupTemplate // by operation; nil: not announced

	namesGroup bool // the type implements GroupNamer
	pushesData bool // the type implements PushNotifier
	unwritten  bool // it has columns that a create does not write
}

// newModel returns nil for a type without a marker.
func newModel(s *schema.Schema) (*model, error) {
	m := &model{name: typeName(s.ModelType), schema: s}
	marked := false
	for op, tag := range marks(s.ModelType) {
		if tag == nil {
			continue
		}
		marked = true
		group, err := parseTag(tag.Get("rohrpost"), s)
		if err != nil {
			return nil, err
		}
		m.groups[op] = group
	}
	if !marked {
		return nil, nil
	}
	pointer := reflect.PointerTo(s.ModelType)
	m.namesGroup = pointer.Implements(reflect.TypeFor[GroupNamer]())
	m.pushesData = pointer.Implements(reflect.TypeFor[PushNotifier]())
	for _, field := range s.Fields {
		m.unwritten = m.unwritten || field.DBName != "" && !field.Creatable
	}
	return m, nil
}

// needsRow reports whether more than the key of a written row must be known.
func (m *model) needsRow(op operation) bool {
	return m.namesGroup || m.pushesData || m.groups[op].columns
}

// typeName is the type's name as group names use it: "Box[int]" becomes "box".
func typeName(t reflect.Type) string {
	name, _, _ := strings.Cut(t.Name(), "[")
	return strings.ToLower(name)
}

// parseTag reads the options of a marker's tag: separated by ";", the key up to
// the first ":".
func parseTag(tag string, s *schema.Schema) (*groupTemplate, error) {
	group := &groupTemplate{}
	for option := range strings.SplitSeq(tag, ";") {
		if option == "" {
			continue
		}
		key, value, _ := strings.Cut(option, ":")
		if key != "group" {
			return nil, fmt.Errorf("unknown option %q in the marker's tag", key)
		}
		if err := group.parse(value, s); err != nil {
			return nil, fmt.Errorf("option group: %w", err)
		}
	}
	return group, nil
}

// groupTemplate is the group option of a tag; the zero value stands for
// "<type>-{pk}".
type groupTemplate struct {
	parts   []groupPart
	columns bool // a part needs more than the key
}

// groupPart is literal text, or a field, or the primary key where both are empty.
type groupPart struct {
	text  string
	field *schema.Field
}

func (g *groupTemplate) parse(text string, s *schema.Schema) error {
	if text == "" {
		return fmt.Errorf("a group name is missing")
	}
	for text != "" {
		literal, rest, found := strings.Cut(text, "{")
		if literal != "" {
			if !validGroup(literal) {
				return fmt.Errorf("%q does not fit into a group name", literal)
			}
			g.parts = append(g.parts, groupPart{text: literal})
		}
		if !found {
			break
		}
		column, after, closed := strings.Cut(rest, "}")
		if !closed {
			return fmt.Errorf("%q is not closed", "{"+rest)
		}
		part, err := columnPart(column, s)
		if err != nil {
			return err
		}
		g.parts = append(g.parts, part)
		g.columns = g.columns || part.field != nil && !part.field.PrimaryKey
		text = after
	}
	return nil
}

func columnPart(column string, s *schema.Schema) (groupPart, error) {
	if column == "pk" {
		return groupPart{}, nil
	}
	if field := s.FieldsByDBName[column]; field != nil {
		return groupPart{field: field}, nil
	}
	return groupPart{}, fmt.Errorf("the model has no column %q", column)
}
