package notify

import (
	"reflect"
	"strings"
	"testing"

	"github.com/rohrpost/rohrpost/internal/capture"
	"github.com/stretchr/testify/assert"
	"gorm.io/gorm"
)

type (
	onCreate struct{}
	onUpdate struct{}
	onDelete struct{}
	onChange struct{}
)

// markers knows the markers of the tests.
func markers(t reflect.Type) []capture.Operation {
	return map[reflect.Type][]capture.Operation{
		reflect.TypeFor[onCreate](): {capture.Create},
		reflect.TypeFor[onUpdate](): {capture.Update},
		reflect.TypeFor[onDelete](): {capture.Delete},
		reflect.TypeFor[onChange](): {capture.Create, capture.Update, capture.Delete},
	}[t]
}

type (
	byValue    struct{ onChange }
	byPointer  struct{ *onChange }
	base       struct{ onCreate }
	Other      struct{ onDelete }
	throughOne struct{ base }
	throughTwo struct {
		*base
		Other
	}
	twice struct {
		base
		onChange
	}
	box[T any] struct {
		onUpdate
		Value T
	}
	defined  byValue
	alias    = byValue
	named    struct{ Marker onChange }
	embedded struct {
		Marker base `gorm:"embedded"`
	}
	Recursive struct {
		*Recursive
		onUpdate
	}
	unmarked struct{ gorm.Model }
)

func TestMarks(t *testing.T) {
	for _, test := range []struct {
		name  string
		value any
		want  string
	}{
		{"by value", byValue{}, "create update delete"},
		{"by pointer", byPointer{}, "create update delete"},
		{"through a base", throughOne{}, "create"},
		{"through two bases, one by pointer", throughTwo{}, "create delete"},
		{"the same marker twice", twice{}, "create update delete"},
		{"generic", box[int]{}, "update"},
		{"defined type", defined{}, "create update delete"},
		{"alias", alias{}, "create update delete"},
		{"a named field is no marker", named{}, ""},
		{"an embedded tag is no marker", embedded{}, ""},
		{"a type that embeds itself", Recursive{}, "update"},
		{"unmarked", unmarked{}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for op, tag := range findMarks(reflect.TypeOf(test.value), markers) {
				if tag != nil {
					got = append(got, capture.Operation(op).String())
				}
			}
			assert.Equal(t, test.want, strings.Join(got, " "))
		})
	}
}
