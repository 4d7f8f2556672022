package notify

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/rohrpost/rohrpost/internal/capture"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// columnPayload makes objects of listed columns, behind the key.
type columnPayload struct {
	columns  []payloadColumn
	readOnly bool // the database makes one of them: any update may change it
}

// payloadColumn is a column in objects.
type payloadColumn struct {
	*capture.Column
	name   string // quoted, with a colon
	encode capture.Encoder
}

// newColumnPayload returns the payload of the markers' tags, nil where none lists columns.
func newColumnPayload(t *capture.Table, tags []*tag) (*columnPayload, error) {
	var names []string
	for i, tag := range tags {
		if i > 0 && !slices.Equal(names, tag.payload) {
			return nil, errors.New("option payload: the markers of the model list different columns")
		}
		names = tag.payload
	}
	if names == nil {
		return nil, nil
	}
	p := &columnPayload{}
	seen := map[string]bool{"id": true}
	for _, name := range names {
		column := t.Column(name)
		inJSON := jsonName(column)
		switch {
		case !column.Readable:
			return nil, fmt.Errorf("option payload: the column %q is never read", name)
		case inJSON == "":
			return nil, fmt.Errorf(`option payload: the field of the column %q has the tag json:"-"`, name)
		case inJSON == "id":
			return nil, fmt.Errorf(`option payload: the column %q is called "id" in JSON, as the key that each object has`, name)
		case seen[inJSON]:
			return nil, fmt.Errorf("option payload: two columns are called %q in JSON", inJSON)
		}
		seen[inJSON] = true
		p.columns = append(p.columns, payloadColumn{column, string(wire.AppendString(nil, inJSON)) + ":", capture.EncoderOf(column.Field)})
		p.readOnly = p.readOnly || column.ReadOnly
	}
	return p, nil
}

// lists reports whether a column is one of the listed ones.
func (p *columnPayload) lists(column string) bool {
	return slices.ContainsFunc(p.columns, func(c payloadColumn) bool { return c.Name == column })
}

// listed returns those of the columns that are listed; nil stays it.
func (p *columnPayload) listed(columns []string) []string {
	if columns == nil || !slices.ContainsFunc(columns, func(c string) bool { return !p.lists(c) }) {
		return columns
	}
	listed := make([]string, 0, len(columns))
	for _, column := range columns {
		if p.lists(column) {
			listed = append(listed, column)
		}
	}
	return listed
}

// isChangedBy reports whether an update that sets the columns may change a listed one.
func (p *columnPayload) isChangedBy(set []string) bool {
	return p.readOnly || slices.ContainsFunc(set, p.lists)
}

// object returns the key, which is JSON, and those of the listed columns that the
// operation tells: of an update those that are set.
func (p *columnPayload) object(op capture.Operation, set []string, key string, row reflect.Value) (object wire.Object, err error) {
	b := append(append(make([]byte, 0, 256), `{"id":`...), key...)
	for i := range p.columns {
		c := &p.columns[i]
		if op != capture.Create && !(op == capture.Update && (c.ReadOnly || slices.Contains(set, c.Name))) {
			continue
		}
		b = append(append(b, ','), c.name...)
		if b, err = c.encode(b, c.Value(row)); err != nil {
			return object, fmt.Errorf("column %s: %w", c.Name, err)
		}
	}
	return wire.ObjectOf(append(b, '}')), nil
}
