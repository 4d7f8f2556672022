package capture

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rohrpost/rohrpost/internal/wire"
	"gorm.io/gorm/schema"
)

// Encoder appends a value of a field, which is not valid behind a nil pointer, as JSON.
type Encoder func(b []byte, v reflect.Value) ([]byte, error)

// EncoderOf returns the encoder of a field: as encoding/json encodes it, but never left out.
func EncoderOf(f reflect.StructField) Encoder {
	t := f.Type
	switch kind := t.Kind(); {
	case t == reflect.TypeFor[time.Time]():
		return appendTime
	case isQuoted(f):
		return appendQuoted
	case !isPlain(t):
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

// keyEncoder returns the encoder of a field of the primary key, nil where JSON has the text of
// the value, as a number or a string.
func keyEncoder(f *schema.Field) Encoder {
	t := f.StructField.Type
	isText := t.Kind() == reflect.String || t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64
	if f.Serializer == nil && isText && isPlain(t) && !isQuoted(f.StructField) {
		return nil
	}
	return EncoderOf(f.StructField)
}

// isPlain reports whether encoding/json encodes a type by its kind.
func isPlain(t reflect.Type) bool { return !hasMethods(t) && t != reflect.TypeFor[json.Number]() }

// hasMethods reports whether a type encodes itself.
func hasMethods(t reflect.Type) bool {
	p := reflect.PointerTo(t) // it has the methods of t
	return p.Implements(marshaler) || p.Implements(textMarshaler)
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

// isQuoted reports whether encoding/json heeds the option "string" of a field.
func isQuoted(f reflect.StructField) bool {
	_, options, _ := strings.Cut(f.Tag.Get("json"), ",")
	t := f.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return slices.Contains(strings.Split(options, ","), "string") && !hasMethods(t) &&
		(t.Kind() == reflect.String || t.Kind() >= reflect.Bool && t.Kind() <= reflect.Float64)
}

func appendTime(b []byte, v reflect.Value) ([]byte, error) {
	if !v.IsValid() {
		return append(b, `"0001-01-01T00:00:00Z"`...), nil
	}
	t := addressed(v).Interface().(*time.Time)
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
	if v.Kind() != reflect.Pointer {
		v = addressed(v)
	}
	raw, err := wire.EncodeValue(v.Interface())
	return append(b, raw...), err
}

// addressed returns a pointer to a value, or to a copy: methods may have pointer receivers.
func addressed(v reflect.Value) reflect.Value {
	if v.CanAddr() {
		return v.Addr()
	}
	p := reflect.New(v.Type())
	p.Elem().Set(v)
	return p
}
