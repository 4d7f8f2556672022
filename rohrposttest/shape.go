package rohrposttest

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
)

// deepest is how far into a value it is looked: values may contain themselves.
const deepest = 32

// types are those of the values around the one in hand.
type types []reflect.Type

// stops reports whether there is nothing new inside a value: types contain
// themselves.
func (around types) stops(v reflect.Value) bool {
	return len(around) > deepest || v.IsZero() && slices.Contains(around, v.Type())
}

func (around types) with(t reflect.Type) types { return append(slices.Clip(around), t) }

// shape is the set of the paths of all values in the JSON of something.
type shape map[string]bool

// add walks through a value, and through its type where there is no value.
func (s shape) add(path string, v reflect.Value) { s.walk(path, v, nil) }

func (s shape) walk(path string, v reflect.Value, around types) {
	for v.IsValid() && v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	switch {
	case !v.IsValid() || around.stops(v):
		s[path] = true
		return
	case encodesItself(v.Type()):
		s.walkJSON(path, v, around)
		return
	}
	around = around.with(v.Type())
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v = reflect.New(v.Type().Elem())
		}
		s.walk(path, v.Elem(), around)
	case reflect.Struct:
		s.walkStruct(path, v, around)
	case reflect.Map:
		s.walkMap(path, v, around)
	case reflect.Slice, reflect.Array:
		s.walkList(path, v, around)
	default:
		s[path] = true
	}
}

func (s shape) walkStruct(path string, v reflect.Value, around types) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case field.Tag.Get("json") == "-":
		case field.Anonymous && name == "" && structOf(field.Type) && !encodesItself(field.Type):
			s.walk(path, v.Field(i), around)
		case !field.IsExported():
		case name == "":
			s.walk(join(path, field.Name), v.Field(i), around)
		default:
			s.walk(join(path, name), v.Field(i), around)
		}
	}
}

func (s shape) walkMap(path string, v reflect.Value, around types) {
	if v.Len() == 0 && path != "" {
		s[path] = true
	}
	for _, key := range v.MapKeys() {
		name := "*"
		if key.Kind() == reflect.String && key.String() != sampleText {
			name = key.String()
		}
		s.walk(join(path, name), v.MapIndex(key), around)
	}
}

func (s shape) walkList(path string, v reflect.Value, around types) {
	element := v.Type().Elem()
	if element.Kind() == reflect.Uint8 && v.Kind() == reflect.Slice {
		s[path] = true // base64
		return
	}
	if v.Len() == 0 {
		s.walk(path+"[]", reflect.New(element).Elem(), around)
	}
	for i := range v.Len() {
		s.walk(path+"[]", v.Index(i), around)
	}
}

// walkJSON looks at what a value that encodes itself has become.
func (s shape) walkJSON(path string, v reflect.Value, around types) {
	if v.Kind() == reflect.Pointer && v.IsNil() {
		s[path] = true
		return
	}
	var plain any
	text, err := json.Marshal(v.Interface())
	if err != nil || json.Unmarshal(text, &plain) != nil || plain == nil {
		s[path] = true
		return
	}
	s.walk(path, reflect.ValueOf(plain), around)
}

func structOf(t reflect.Type) bool {
	return t.Kind() == reflect.Struct || t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct
}

func encodesItself(t reflect.Type) bool {
	for _, marshaler := range []reflect.Type{reflect.TypeFor[json.Marshaler](), reflect.TypeFor[encoding.TextMarshaler]()} {
		if t.Implements(marshaler) {
			return true
		}
	}
	return false
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
