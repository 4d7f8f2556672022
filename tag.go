package rohrpost

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/rohrpost/rohrpost/internal/wire"
	"gorm.io/gorm/schema"
)

// defaultRows is how many changes of one commit a group is told one by one.
const defaultRows = 100

// tag holds the options of a marker's struct tag.
type tag struct {
	group      groupTemplate
	fields     []string // an update is announced when one of these is set; nil: any
	depends    []string // the columns on which the group depends; nil: see model
	rows       int      // the most changes of one commit for one group
	alwaysSend bool     // also when no updated field is in the object
}

// parseTag reads the options: separated by ";", the key up to the first ":".
func parseTag(text string, s *schema.Schema) (*tag, error) {
	t := &tag{rows: defaultRows, alwaysSend: true}
	for option := range strings.SplitSeq(text, ";") {
		if option == "" {
			continue
		}
		key, value, _ := strings.Cut(option, ":")
		var err error
		switch key {
		case "group":
			err = t.group.parse(value, s)
		case "fields":
			if t.fields, err = columns(value, s); len(t.fields) == 0 && err == nil {
				err = errors.New("a column is missing")
			}
		case "depends":
			t.depends, err = columns(value, s)
		case "rows":
			if t.rows, err = strconv.Atoi(value); err == nil && t.rows < 1 {
				err = errors.New("less than one row")
			}
		case "always_send":
			t.alwaysSend, err = strconv.ParseBool(value)
		default:
			return nil, fmt.Errorf("unknown option %q in the marker's tag", key)
		}
		if err != nil {
			return nil, fmt.Errorf("option %s: %w", key, err)
		}
	}
	return t, nil
}

// columns reads a list of database columns; an empty one is not nil.
func columns(list string, s *schema.Schema) ([]string, error) {
	names := []string{}
	for name := range strings.SplitSeq(list, ",") {
		if name == "" {
			continue
		}
		if s.FieldsByDBName[name] == nil {
			return nil, fmt.Errorf("the model has no column %q", name)
		}
		names = append(names, name)
	}
	return names, nil
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
		return errors.New("a group name is missing")
	}
	for text != "" {
		literal, rest, found := strings.Cut(text, "{")
		if literal != "" {
			if !wire.ValidGroup(literal) {
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

// dependsOn reports whether the group changes with the column.
func (g *groupTemplate) dependsOn(column string) bool {
	return slices.ContainsFunc(g.parts, func(part groupPart) bool {
		return part.field != nil && part.field.DBName == column
	})
}

// pattern matches every group that the template can name, in the grammar of
// Hub.Allow. Placeholders side by side become one: no text tells them apart.
func (g *groupTemplate) pattern(typeName string) string {
	if g.parts == nil {
		return typeName + "-{pk}"
	}
	var pattern strings.Builder
	placeholder := false
	for i, part := range g.parts {
		if part.text != "" {
			pattern.WriteString(part.text)
		} else if !placeholder {
			fmt.Fprintf(&pattern, "{%d}", i) // a column may stand in it twice
		}
		placeholder = part.text == ""
	}
	return pattern.String()
}
