package capture

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm/schema"
)

func TestCompareKeys(t *testing.T) {
	number := func(n int) Key { text := fmt.Sprint(n); return Key{text: text, json: text, isNumber: true} }
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

type (
	serial  int64  // in JSON a text
	pointed string // in JSON a list, by a method of its pointer
	broken  int64  // it fails
)

func (s serial) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, `"S-%d"`, int64(s)), nil }

func (p *pointed) MarshalJSON() ([]byte, error) { return json.Marshal([]string{string(*p)}) }

func (broken) MarshalJSON() ([]byte, error) { return nil, errors.New("no JSON today") }

// A key in JSON is as encoding/json encodes its fields, so that it is that of a snapshot. As
// text it is plain.
func TestKeysInJSON(t *testing.T) {
	const large = 738529527931269425
	moment := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	number := int64(large)
	for _, test := range []struct {
		row        any
		text, json string
	}{
		{struct{ ID int64 }{-7}, "-7", "-7"},
		{struct{ ID string }{"a<\"b"}, `a<"b`, `"a\u003c\"b"`},
		{struct {
			ID int64 `json:"id,string"`
		}{large}, "738529527931269425", `"738529527931269425"`},
		{struct {
			ID *uint64 `json:"id,omitempty,string"`
		}{new(uint64)}, "0", `"0"`},
		{struct {
			ID string `json:"id,string"`
		}{"a"}, "a", `"\"a\""`},
		{struct{ ID serial }{7}, "7", `"S-7"`},
		{struct{ ID pointed }{"a"}, "a", `["a"]`},
		{struct{ ID time.Time }{moment}, "2026-01-02T03:04:05Z", `"2026-01-02T03:04:05Z"`},
		{struct{ ID []byte }{[]byte{255}}, "_w", `"/w=="`},
		{struct{ ID json.Number }{"1.50"}, "1.50", "1.50"},
		{struct {
			ID int64 `json:"-"`
		}{7}, "7", "7"},
		{struct{ ID sql.NullInt64 }{sql.NullInt64{Int64: 7, Valid: true}}, "7", "7"}, // an object is no key
		{struct {
			Shop int64   `gorm:"primaryKey" json:"shop,string"`
			Item *int64  `gorm:"primaryKey" json:",string"`
			Size string  `gorm:"primaryKey"`
			Last serial  `gorm:"primaryKey"`
			Rest float64 `json:",string"`
		}{large, &number, "s", 7, 0}, "738529527931269425:738529527931269425:s:7", `["738529527931269425","738529527931269425","s","S-7"]`},
	} {
		for _, row := range []reflect.Value{reflect.ValueOf(test.row), addressed(reflect.ValueOf(test.row)).Elem()} {
			key := keyIn(t, row)
			require.NoError(t, key.Err())
			assert.Equal(t, test.text, key.Text())
			assert.Equal(t, test.json, key.JSON())
		}
	}
	require.ErrorContains(t, keyIn(t, reflect.ValueOf(struct{ ID broken }{7})).Err(), "primary key column id: ")
	ten, nine := keyIn(t, reflect.ValueOf(struct{ ID serial }{10})), keyIn(t, reflect.ValueOf(struct{ ID serial }{9}))
	assert.Positive(t, ten.compare(nine), "the order is that of the numbers, whatever they are in JSON")
}

func keyIn(t *testing.T, row reflect.Value) Key {
	s, err := schema.Parse(row.Interface(), &sync.Map{}, schema.NamingStrategy{})
	require.NoError(t, err)
	return newRow(t.Context(), NewTable(nil, s), row).Key
}
