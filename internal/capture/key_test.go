package capture

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestCompareKeys(t *testing.T) {
	number := func(n int) Key { text := fmt.Sprint(n); return Key{text: text, json: text} }
	text := func(s string) Key { return Key{text: s, json: `"` + s + `"`} }
	pair := func(s string, n int) Key {
		return Key{more: &keyDetails{parts: []Key{text(s), number(n)}}, json: "[]"}
	}
	ordered := [][]Key{
		{number(-20), number(-3), number(-1), number(0), number(2), number(10), number(1000)},
		{text("10"), text("2"), text("B"), text("a"), text("ab")},
		{pair("a", -2), pair("a", 1), pair("a", 10), pair("b", 0)},
	}
	for _, keys := range ordered {
		for i := range keys {
			for j := range keys {
				assert.Equal(t, sign(i-j), sign(keys[i].compare(keys[j])), "%v and %v", keys[i], keys[j])
			}
		}
	}
}

func sign(n int) int { return min(max(n, -1), 1) }
