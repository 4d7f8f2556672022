package notify

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/rohrpost/rohrpost/internal/capture"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// groupTemplate is the group option of a tag; the zero value stands for
// "<type>-{pk}".
type groupTemplate struct {
	parts   []groupPart
	columns bool // a part needs more than the key
}

// groupPart is literal text, or a column, or the primary key where both are empty.
type groupPart struct {
	text   string
	column *capture.Column
}

func (g *groupTemplate) parse(text string, t *capture.Table) error {
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
		part, err := columnPart(column, t)
		if err != nil {
			return err
		}
		g.parts = append(g.parts, part)
		g.columns = g.columns || part.column != nil && !part.column.PrimaryKey
		text = after
	}
	return nil
}

func columnPart(column string, t *capture.Table) (groupPart, error) {
	if column == "pk" {
		return groupPart{}, nil
	}
	if c := t.Column(column); c != nil {
		return groupPart{column: c}, c.NamesGroups()
	}
	return groupPart{}, fmt.Errorf("the model has no column %q", column)
}

// name fills the template with the row's columns. It is "" where one of them is null.
func (g *groupTemplate) name(ctx context.Context, typeName string, key capture.Key, row reflect.Value) (string, error) {
	name := make([]byte, 0, 64)
	parts := g.parts
	if parts == nil {
		name = append(append(name, typeName...), '-')
		parts = []groupPart{{}}
	}
	for _, part := range parts {
		switch {
		case part.text != "":
			name = append(name, part.text...)
		case part.column != nil && row.IsValid():
			text, there, err := part.column.Text(ctx, row)
			if err != nil {
				return "", fmt.Errorf("column %s: %w", part.column.Name, err)
			}
			if !there {
				return "", nil
			}
			name = append(name, text...)
		case key.Err() != nil:
			return "", key.Err()
		case part.column != nil: // of the key, which is all that is known
			name = append(name, key.Part(part.column.KeyPart)...)
		default:
			name = append(name, key.Text()...)
		}
	}
	return string(name), nil
}

// usesKey reports whether the name contains the primary key.
func (g *groupTemplate) usesKey() bool {
	return g.parts == nil || slices.ContainsFunc(g.parts, func(part groupPart) bool { return part.text == "" && part.column == nil })
}

// dependsOn reports whether the group changes with the column.
func (g *groupTemplate) dependsOn(column string) bool {
	return slices.ContainsFunc(g.parts, func(part groupPart) bool {
		return part.column != nil && part.column.Name == column
	})
}

// pattern matches every group that the template can name, in the grammar of
// Hub.Allow. Placeholders side by side become one: no text separates them.
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
