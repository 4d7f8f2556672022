package rohrposttest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/rohrpost/rohrpost"
)

// Matcher is a condition on a change, in addition to its group and its type.
type Matcher struct {
	want  string                               // describes the condition in a failure message
	check func(rohrpost.Change) (found string) // "" if the change satisfies it
	times int                                  // 0 for any number
}

// Object expects an object that is equal to want as JSON.
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

// Has expects an object with this key, and a value that is equal to want as JSON.
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

// UpdatedFields expects exactly these updated fields, in any order. Without arguments
// it expects a change without updated fields.
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

// View expects a change for a view of its group, see rohrpost.Hub.AllowViews; "" for one that
// is for all views.
func View(want string) Matcher {
	return Matcher{
		want: "view is " + strconv.Quote(want),
		check: func(c rohrpost.Change) string {
			if c.View == want {
				return ""
			}
			return "view is " + strconv.Quote(c.View)
		},
	}
}

// Origin expects a change of a page, see rohrpost.WithOrigin; "" for one of no page.
func Origin(want string) Matcher {
	return Matcher{
		want: "origin is " + strconv.Quote(want),
		check: func(c rohrpost.Change) string {
			if c.Origin == want {
				return ""
			}
			return "origin is " + strconv.Quote(c.Origin)
		},
	}
}

// Where expects that matches returns true for the change. want describes the condition
// in a failure message.
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

// Times expects exactly n matching changes; n must be at least 1. Defaults to one or
// more.
func Times(n int) Matcher {
	return Matcher{
		want:  fmt.Sprintf("number of changes is %d", n),
		check: func(rohrpost.Change) string { return "" },
		times: n,
	}
}

// decoded returns a value after a round trip through JSON, and its JSON text. Numbers
// keep all digits.
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
