package notify

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

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
	encode func(b []byte, v reflect.Value) ([]byte, error)
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
		p.columns = append(p.columns, payloadColumn{column, string(wire.AppendString(nil, inJSON)) + ":", encoderOf(column)})
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

// encoderOf returns how a column is encoded: as encoding/json encodes its field, but never
// left out.
func encoderOf(c *capture.Column) func([]byte, reflect.Value) ([]byte, error) {
	_, options, _ := strings.Cut(c.Field.Tag.Get("json"), ",")
	t := c.Field.Type
	plain := !t.Implements(marshaler) && !reflect.PointerTo(t).Implements(marshaler) &&
		!t.Implements(textMarshaler) && !reflect.PointerTo(t).Implements(textMarshaler)
	switch kind := t.Kind(); {
	case t == reflect.TypeFor[time.Time]():
		return appendTime
	case slices.Contains(strings.Split(options, ","), "string") && isQuotable(t):
		return appendQuoted
	case !plain, t == reflect.TypeFor[json.Number]():
		return appendAny
	case kind == reflect.String:
		return func(b []byte, v reflect.Value) ([]byte, error) { return wire.AppendString(b, textOf(v)), nil }
	case kind == reflect.Bool:
		return func(b []byte, v reflect.Value) ([]byte, error) {
			return strconv.AppendBool(b, v.IsValid() && v.Bool()), nil
		}
	case kind >= reflect.Int && kind <= reflect.Int64:
		return func(b []byte, v reflect.Value) ([]byte, error) {
			if !v.IsValid() {
				return append(b, '0'), nil
			}
			return strconv.AppendInt(b, v.Int(), 10), nil
		}
	case kind >= reflect.Uint && kind <= reflect.Uint64:
		return func(b []byte, v reflect.Value) ([]byte, error) {
			if !v.IsValid() {
				return append(b, '0'), nil
			}
			return strconv.AppendUint(b, v.Uint(), 10), nil
		}
	}
	return appendAny
}

var (
	marshaler     = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
)

func textOf(v reflect.Value) string {
	if !v.IsValid() {
		return ""
	}
	return v.String()
}

// isQuotable reports whether encoding/json heeds the option "string" for a type.
func isQuotable(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Implements(marshaler) || reflect.PointerTo(t).Implements(marshaler) || t.Implements(textMarshaler) || reflect.PointerTo(t).Implements(textMarshaler) {
		return false
	}
	return t.Kind() == reflect.String || t.Kind() >= reflect.Bool && t.Kind() <= reflect.Float64
}

func appendTime(b []byte, v reflect.Value) ([]byte, error) {
	if !v.IsValid() {
		return append(b, `"0001-01-01T00:00:00Z"`...), nil
	}
	t, isAddressable := v.Addr().Interface().(*time.Time)
	if !isAddressable {
		return appendAny(b, v)
	}
	b, err := t.AppendText(append(b, '"'))
	return append(b, '"'), err
}

// appendQuoted encodes a value as a string.
func appendQuoted(b []byte, v reflect.Value) ([]byte, error) {
	raw, err := appendAny(nil, v)
	if err != nil || string(raw) == "null" {
		return append(b, raw...), err
	}
	return wire.AppendString(b, string(raw)), nil
}

// appendAny encodes a value as encoding/json does a field of an addressable struct.
func appendAny(b []byte, v reflect.Value) ([]byte, error) {
	if !v.IsValid() {
		return append(b, "null"...), nil
	}
	var value any
	if v.CanAddr() && v.Kind() != reflect.Pointer {
		value = v.Addr().Interface()
	} else {
		value = v.Interface()
	}
	raw, err := wire.EncodeValue(value)
	return append(b, raw...), err
}
