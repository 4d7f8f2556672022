package wire

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestUnite(t *testing.T) {
	for _, test := range []struct{ a, b, want string }{
		{`{}`, `{}`, `{}`},
		{`{"id":1,"a":"x","b":[1]}`, `{"id":1,"b":null,"c":{"d":2}}`, `{"id":1,"a":"x","b":null,"c":{"d":2}}`},
		{`{"id":1}`, `{ "id" : 1 , "a" : "}" }`, `{"id":1,"a":"}"}`},
		{`{}`, `{"a":1}`, `{"a":1}`},
		{`{"a":1}`, `{}`, `{"a":1}`},
	} {
		assert.Equal(t, test.want, string(Unite(json.RawMessage(test.a), json.RawMessage(test.b))))
	}
}

func TestPartial(t *testing.T) {
	for _, test := range []struct {
		change Change
		want   string
	}{
		{Change{Partial: true}, `"object":null,"partial":true}}`},
		{Change{Partial: true, UpdatedFields: []string{}}, `"object":null,"updated_fields":[],"partial":true}}`},
		{Change{Partial: true, UpdatedFields: []string{"a"}, Origin: "p"}, `"object":null,"updated_fields":["a"],"partial":true,"origin":"p"}}`},
		{Change{UpdatedFields: []string{}}, `"object":null}}`},
	} {
		text, err := test.change.Encode()
		require.NoError(t, err)
		assert.Regexp(t, `"group":"",`+"\\Q"+test.want+"\\E$", string(text))
	}
}
