package rohrposttest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/rohrpost/rohrpost"
)

// Matcher says what is expected of a change besides its group and its type.
type Matcher struct {
	want  string                               // what a report calls it
	check func(rohrpost.Change) (found string) // "" if it is as expected
	times int                                  // 0: any
}

// Object expects an object that is equal to want when both are written as JSON.
func Object(want any) Matcher {
	expected, text := decoded(want)
	return Matcher{
		want: "object is " + text,
		check: func(c rohrpost.Change) string {
			if got, text := decoded(c.Object); !reflect.DeepEqual(got, expected) {
				return "object is " + text
			}
			return ""
		},
	}
}

// Has expects the object to have the key with a value equal to want when both
// are written as JSON.
func Has(key string, want any) Matcher {
	expected, text := decoded(want)
	return Matcher{
		want: "object." + key + " is " + text,
		check: func(c rohrpost.Change) string {
			object, _ := decoded(c.Object)
			fields, _ := object.(map[string]any)
			got, ok := fields[key]
			if !ok {
				return "object has no " + key
			}
			if reflect.DeepEqual(got, expected) {
				return ""
			}
			_, text := decoded(got)
			return "object." + key + " is " + text
		},
	}
}

// UpdatedFields expects exactly these updated fields, in any order; none for
// changes that name none.
func UpdatedFields(want ...string) Matcher {
	return Matcher{
		want: "updated fields are " + list(want),
		check: func(c rohrpost.Change) string {
			if slices.Equal(slices.Sorted(slices.Values(c.UpdatedFields)), slices.Sorted(slices.Values(want))) {
				return ""
			}
			return "updated fields are " + list(c.UpdatedFields)
		},
	}
}

// Where expects what matches reports; a report of the test calls it want.
func Where(want string, matches func(rohrpost.Change) bool) Matcher {
	return Matcher{
		want: want,
		check: func(c rohrpost.Change) string {
			if matches(c) {
				return ""
			}
			return "not: " + want
		},
	}
}

// Times expects exactly n such changes, at least 1. Without it one or more will
// do.
func Times(n int) Matcher {
	return Matcher{
		want:  fmt.Sprintf("%d times", n),
		check: func(rohrpost.Change) string { return "" },
		times: n,
	}
}

// decoded is a value as JSON has it, and its text. Numbers keep all their digits.
func decoded(value any) (any, string) {
	text, err := json.Marshal(value)
	if err != nil {
		return err, fmt.Sprintf("%#v (%v)", value, err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var plain any
	if err := d.Decode(&plain); err != nil {
		return err, string(text)
	}
	return plain, string(text)
}

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
