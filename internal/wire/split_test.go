package wire

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var splitSeeds = []string{
	`{}`, `[]`, ``, ` `, `{"a":1}`, ` { "a" : [ 1 , -2.5e+3 , "x\n\u00e4" , { } , null ] , "b" : true } `, `{"a":{"b":{"c":[[[]]]}}}`, `{"a":1,"a":2}`,
	`"x"`, `12`, `-0`, `-0.0`, `01`, `1.`, `.5`, `1e`, `1e+`, `-`, `+1`, `tru`, `true`, `nulll`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `[1,]`, `[,]`, `[1 2]`, `{"a":1]`, `[1}`, `{"a":1}x`,
	`{"a":"` + "\x01" + `"}`, `{"a":"\x"}`, `{"a":"\u12"}`, `{"a":"\u12zz"}`, `{"a":"`, `{"a":"\`, `{"` + "\xff" + `":"` + "\xff" + `"}`, "\ufeff{}", `{"a":1}{"b":2}`, `{a:1}`, `{'a':1}`,
	strings.Repeat("[", 64) + strings.Repeat("]", 64), strings.Repeat("[", 65) + strings.Repeat("]", 65), strings.Repeat(`{"a":`, 64) + "1" + strings.Repeat("}", 64),
}

// FuzzSplitObject compares with encoding/json: both accept the same objects, and find the
// same fields in them.
func FuzzSplitObject(f *testing.F) {
	for _, seed := range splitSeeds {
		f.Add([]byte(seed), 64)
		f.Add([]byte(seed), 2)
	}
	f.Fuzz(func(t *testing.T, text []byte, maxDepth int) {
		maxDepth = 1 + (maxDepth&0x3F+0x40)&0x3F
		fields, found := splitObject(text, maxDepth, nil)
		valid := json.Valid(text)
		deep := tooDeep(text, maxDepth)
		switch found {
		case isInvalid:
			require.False(t, valid)
		case isDeep:
			require.True(t, deep)
		case isWide:
			require.Len(t, fields, MaxFields)
		case isOther:
			require.True(t, valid && !deep)
			require.NotEqual(t, byte('{'), bytes.TrimSpace(text)[0])
		case isObject:
			require.True(t, valid && !deep)
			d := json.NewDecoder(bytes.NewReader(text))
			_, err := d.Token()
			require.NoError(t, err)
			for _, field := range fields {
				key, err := d.Token()
				require.NoError(t, err)
				if utf8.Valid(text) { // encoding/json replaces what is not
					require.Equal(t, key, Unquote(field.Key))
				}
				var value json.RawMessage
				require.NoError(t, d.Decode(&value))
				require.Equal(t, string(value), string(field.Value))
			}
			require.False(t, d.More())
		}
	})
}

func TestSplitObject(t *testing.T) {
	wide := "{" + strings.Repeat(`"a":1,`, MaxFields-1) + `"a":1}`
	fields, ok := SplitObject([]byte(wide))
	assert.True(t, ok)
	assert.Len(t, fields, MaxFields)
	_, ok = SplitObject([]byte("{" + strings.Repeat(`"a":1,`, MaxFields) + `"a":1}`))
	assert.False(t, ok)
	for _, seed := range splitSeeds {
		_, found := splitObject([]byte(seed), 64, nil)
		if found == isObject || found == isOther {
			assert.True(t, json.Valid([]byte(seed)), seed)
		} else if found == isInvalid {
			assert.False(t, json.Valid([]byte(seed)), seed)
		}
	}
}
