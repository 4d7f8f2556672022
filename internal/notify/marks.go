package notify

import (
	"reflect"

	"github.com/rohrpost/rohrpost/internal/capture"
)

const operations = 3 // of capture.Operation

// findMarks finds the markers of a struct type, level by level of its anonymous
// fields, and returns the tag of the shallowest one for each operation; nil where
// none announces it. The method set would not do: two bases that embed the same
// marker make a promoted method ambiguous, and it silently disappears.
func findMarks(t reflect.Type, markers func(reflect.Type) []capture.Operation) [operations]*reflect.StructTag {
	var found [operations]*reflect.StructTag
	seen := map[reflect.Type]bool{}
	for level := []reflect.Type{t}; len(level) > 0; {
		var deeper []reflect.Type
		for _, structType := range level {
			if seen[structType] {
				continue
			}
			seen[structType] = true
			for field := range embeddedStructs(structType) {
				announced := markers(field.Type)
				for _, op := range announced {
					if found[op] == nil {
						found[op] = &field.Tag
					}
				}
				if announced == nil {
					deeper = append(deeper, field.Type)
				}
			}
		}
		level = deeper
	}
	return found
}

// embeddedStructs yields the fields that embed a struct, by value or by pointer, with
// the type of the struct.
func embeddedStructs(t reflect.Type) func(yield func(*reflect.StructField) bool) {
	return func(yield func(*reflect.StructField) bool) {
		for i := range t.NumField() {
			field := t.Field(i)
			if field.Type.Kind() == reflect.Pointer {
				field.Type = field.Type.Elem()
			}
			if field.Anonymous && field.Type.Kind() == reflect.Struct && !yield(&field) {
				return
			}
		}
	}
}
