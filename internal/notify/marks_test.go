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
	OnCreate struct{}
	OnUpdate struct{}
	OnDelete struct{}
	OnChange struct{}
)

// markers knows the markers of the tests.
func markers(t reflect.Type) []capture.Operation {
	return map[reflect.Type][]capture.Operation{
		reflect.TypeFor[OnCreate](): {capture.Create},
		reflect.TypeFor[OnUpdate](): {capture.Update},
		reflect.TypeFor[OnDelete](): {capture.Delete},
		reflect.TypeFor[OnChange](): {capture.Create, capture.Update, capture.Delete},
	}[t]
}

type (
	byValue    struct{ OnChange }
	byPointer  struct{ *OnChange }
	Base       struct{ OnCreate }
	Other      struct{ OnDelete }
	throughOne struct{ Base }
	throughTwo struct {
		*Base
		Other
	}
	twice struct {
		Base
		OnChange
	}
	box[T any] struct {
		OnUpdate
		ID    uint
		Value T
	}
	defined  byValue
	alias    = byValue
	named    struct{ Marker OnChange }
	embedded struct {
		Marker Base `gorm:"embedded"`
	}
	Recursive struct {
		*Recursive
		OnUpdate
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
