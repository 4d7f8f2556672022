package capture

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestSavepointCommand(t *testing.T) {
	for query, want := range map[string][2]string{
		"SAVEPOINT a":                  {"SAVEPOINT", "a"},
		" savepoint `a` ; ":            {"SAVEPOINT", "a"},
		"RELEASE a":                    {"RELEASE", "a"},
		"release savepoint \"a\"":      {"RELEASE", "a"},
		"ROLLBACK TO a":                {"ROLLBACK TO", "a"},
		"ROLLBACK WORK TO SAVEPOINT a": {"ROLLBACK TO", "a"},
		"rollback transaction to a":    {"ROLLBACK TO", "a"},
		"SAVEPOINT savepoint":          {"SAVEPOINT", "savepoint"},
		"ROLLBACK TO savepoint":        {"ROLLBACK TO", "savepoint"},
		"ROLLBACK":                     {},
		"ROLLBACK TRANSACTION":         {},
		"ROLLBACK TO":                  {},
		"SELECT 1":                     {},
		"SAVEPOINT":                    {},
		"SAVEPOINT a b":                {},
		"SAVEPOINT ;":                  {},
		"SAVEPOINT \"a":                {},
		"SAVEPOINT -- a":               {},
		"/* SAVEPOINT a":               {},
		"":                             {},
		"SAVEPOINT `a b`":              {"SAVEPOINT", "a b"},
		"SAVEPOINT [a];;":              {"SAVEPOINT", "a"},
		"SAVEPOINT/**/a":               {"SAVEPOINT", "a"},
		"SAVEPOINT /* x */ a":          {"SAVEPOINT", "a"},
		"ROLLBACK /* x */ TO a -- y":   {"ROLLBACK TO", "a"},
		"-- x\n/* y */ rollback # z\n to a; -- ;":                           {"ROLLBACK TO", "a"},
		"RELEASE /* a /* nested */ b */ a":                                  {"RELEASE", "a"},
		"SAVEPOINT a /*traceparent='00-" + strings.Repeat("a", 600) + "'*/": {"SAVEPOINT", "a"},
	} {
		verb, name := savepointCommand(query, true)
		assert.Equal(t, want, [2]string{verb, name}, query)
	}
}

func TestSavepointName(t *testing.T) {
	for written, want := range map[string]struct{ name, folded string }{
		`A`:       {"a", "a"},
		`"A"`:     {"A", "a"},
		"`A`":     {"A", "a"},
		`'x'`:     {"x", "x"},
		`"-x"`:    {"-x", "-x"},
		`" x"`:    {" x", " x"},
		`"a""b"`:  {`a"b`, `a"b`},
		"`a``b`":  {"a`b", "a`b"},
		`""""`:    {`"`, `"`},
		`"a--b"`:  {"a--b", "a--b"},
		`"a;"`:    {"a;", "a;"},
		`"a`:      {},
		`"a""`:    {},
		`"a" "b"`: {},
		`-x`:      {},
	} {
		_, name := savepointCommand("SAVEPOINT "+written, true)
		_, folded := savepointCommand("SAVEPOINT "+written, false)
		assert.Equal(t, want.name, name, written)
		assert.Equal(t, want.folded, folded, written)
	}
}
