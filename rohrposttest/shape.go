package rohrposttest

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
)

// maxDepth limits the depth of a walk, since values may contain themselves.
const maxDepth = 32

// types are the types of the values that enclose a value.
type types []reflect.Type

// stop reports whether to skip the inside of a value. This ends the walk through a
// recursive type.
func (enclosing types) stop(v reflect.Value) bool {
	return len(enclosing) > maxDepth || v.IsZero() && slices.Contains(enclosing, v.Type())
}

func (enclosing types) with(t reflect.Type) types { return append(slices.Clip(enclosing), t) }

// shape is the set of paths of all values in a JSON document.
type shape map[string]bool

// add adds the paths of a value. For a nil or empty value it uses the type.
func (s shape) add(path string, v reflect.Value) { s.walk(path, v, nil) }

func (s shape) walk(path string, v reflect.Value, enclosing types) {
	for v.IsValid() && v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	switch {
	case !v.IsValid() || enclosing.stop(v):
		s[path] = true
		return
	case encodesItself(v.Type()):
		s.walkJSON(path, v, enclosing)
		return
	}
	enclosing = enclosing.with(v.Type())
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v = reflect.New(v.Type().Elem())
		}
		s.walk(path, v.Elem(), enclosing)
	case reflect.Struct:
		s.walkStruct(path, v, enclosing)
	case reflect.Map:
		s.walkMap(path, v, enclosing)
	case reflect.Slice, reflect.Array:
		s.walkList(path, v, enclosing)
	default:
		s[path] = true
	}
}

func (s shape) walkStruct(path string, v reflect.Value, enclosing types) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case field.Tag.Get("json") == "-":
		case field.Anonymous && name == "" && structOf(field.Type) && !encodesItself(field.Type):
			s.walk(path, v.Field(i), enclosing)
		case !field.IsExported():
		case name == "":
			s.walk(join(path, field.Name), v.Field(i), enclosing)
		default:
			s.walk(join(path, name), v.Field(i), enclosing)
		}
	}
}

func (s shape) walkMap(path string, v reflect.Value, enclosing types) {
	if v.Len() == 0 && path != "" {
		s[path] = true
	}
	for _, key := range v.MapKeys() {
		name := "*"
		if key.Kind() == reflect.String && key.String() != sampleText {
			name = key.String()
		}
		s.walk(join(path, name), v.MapIndex(key), enclosing)
	}
}

func (s shape) walkList(path string, v reflect.Value, enclosing types) {
	element := v.Type().Elem()
	if element.Kind() == reflect.Uint8 && v.Kind() == reflect.Slice {
		s[path] = true // base64
		return
	}
	if v.Len() == 0 {
		s.walk(path+"[]", reflect.New(element).Elem(), enclosing)
	}
	for i := range v.Len() {
		s.walk(path+"[]", v.Index(i), enclosing)
	}
}

// walkJSON walks the JSON of a value that implements its own encoding.
func (s shape) walkJSON(path string, v reflect.Value, enclosing types) {
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
	s.walk(path, reflect.ValueOf(plain), enclosing)
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
