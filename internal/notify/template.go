package notify

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/rohrpost/rohrpost/internal/capture"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// groupTemplate is the group option of a tag: a pattern whose placeholders are called
// like columns, or "pk".
type groupTemplate struct {
	pattern wire.Pattern
	columns []*capture.Column // of the placeholders; nil: the primary key
}

func (g *groupTemplate) parse(text string, t *capture.Table) (err error) {
	if text == "" {
		return errors.New("a group name is missing")
	}
	if g.pattern, err = wire.ParseTemplate(text); err != nil {
		return err
	}
	g.columns = nil
	for i, name := range g.pattern.Names() {
		column := t.Column(name)
		if name == "pk" {
			column = nil
			err = g.pattern.CheckParts(i, t.KeyParts())
		} else if column == nil {
			err = fmt.Errorf("the model has no column %q", name)
		} else {
			err = column.NamesGroups()
		}
		if err != nil {
			return err
		}
		g.columns = append(g.columns, column)
	}
	return nil
}

// name fills the template with the row's columns. It is "" where one of them is null or
// empty.
func (g *groupTemplate) name(ctx context.Context, key capture.Key, row reflect.Value) (string, error) {
	if len(g.columns) == 0 {
		return g.pattern.Literal(0), nil
	}
	name := append(make([]byte, 0, 64), g.pattern.Literal(0)...)
	for i, column := range g.columns {
		var err error
		if column == nil && key.Parts() > 1 {
			name, err = g.appendParts(name, i, key)
		} else {
			var value string
			if value, err = valueOf(ctx, column, key, row); value == "" && err == nil {
				return "", nil
			}
			if err == nil {
				name, err = g.pattern.AppendValue(name, i, value)
			}
		}
		if err != nil {
			return "", err
		}
		name = append(name, g.pattern.Literal(i+1)...)
	}
	return string(name), nil
}

// valueOf returns the text of a column, or of the key where the column is nil; "" for null.
func valueOf(ctx context.Context, column *capture.Column, key capture.Key, row reflect.Value) (string, error) {
	if column != nil && row.IsValid() {
		value, _, err := column.Text(ctx, row)
		if err != nil {
			return "", fmt.Errorf("column %s: %w", column.Name, err)
		}
		return value, nil
	}
	if column != nil { // of the key, which is all that is known
		return key.Part(column.KeyPart), key.Err()
	}
	return key.Text(), key.Err()
}

// appendParts appends a key of several columns.
func (g *groupTemplate) appendParts(name []byte, i int, key capture.Key) (_ []byte, err error) {
	for part := range key.Parts() {
		if part > 0 {
			name = append(name, ':')
		}
		if name, err = g.pattern.AppendPart(name, i, key.Part(part)); err != nil {
			return nil, err
		}
	}
	return name, nil
}

// columnNames returns the columns in the name.
func (g *groupTemplate) columnNames() (names []string) {
	for _, column := range g.columns {
		if column != nil {
			names = append(names, column.Name)
		}
	}
	return names
}

// usesKey reports whether the name contains the primary key as a whole.
func (g *groupTemplate) usesKey() bool { return slices.Contains(g.columns, nil) }

// needsKey reports whether the name contains a column of the primary key.
func (g *groupTemplate) needsKey() bool {
	return slices.ContainsFunc(g.columns, func(c *capture.Column) bool { return c == nil || c.PrimaryKey })
}

// needsColumns reports whether the name contains other columns than those of the primary
// key.
func (g *groupTemplate) needsColumns() bool {
	return slices.ContainsFunc(g.columns, func(c *capture.Column) bool { return c != nil && !c.PrimaryKey })
}

// dependsOn reports whether the group changes with the column.
func (g *groupTemplate) dependsOn(column string) bool {
	return slices.ContainsFunc(g.columns, func(c *capture.Column) bool { return c != nil && c.Name == column })
}
