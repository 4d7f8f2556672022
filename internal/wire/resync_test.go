package wire

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAddSpread(t *testing.T) {
	for members, spread := range map[int]string{0: "0", 1: "0", 2: "10", 101: "1000", 201: "2000", 1_000_000: "2000"} {
		got := string(AddSpread(ResyncPayload("g", ReasonSize), members))
		assert.Contains(t, got, `"data":{"type":"resync","group":"g","object":{"reason":"size","spread":`+spread+`}}}`)
		assert.True(t, json.Valid([]byte(got)))
	}
	for object, want := range map[string]string{
		`{}`: `{"spread":10}`, `{ }`: `{"spread":10}`, `{"a":{"b":1} }`: `{"a":{"b":1},"spread":10}`,
		`null`: `null`, `[{}]`: `[{}]`, `"x"`: `"x"`, `{"spread":7}`: `{"spread":7}`,
	} {
		ch := Change{Group: "g", Type: Resync, Object: json.RawMessage(object)}
		payload, err := ch.Encode()
		require.NoError(t, err)
		assert.Contains(t, string(AddSpread(payload, 2)), `"object":`+want+`}}`)
	}
	for _, ch := range []Change{
		{Group: "g", Type: Update, Object: map[string]string{"reason": "x"}},
		{Group: "g", Type: "resyncs", Object: struct{}{}},
		{Group: "g", Type: Resync, Object: []int{}, UpdatedFields: []string{"a"}},
	} {
		payload, err := ch.Encode()
		require.NoError(t, err)
		assert.Equal(t, payload, AddSpread(payload, 2), "no resync with an object at its end")
	}
}

func TestTypesOfChanges(t *testing.T) {
	for _, name := range []string{"create", "resync", "hint", "a", "_-9", strings.Repeat("x", 64)} {
		assert.NoError(t, (&Change{Group: "g", Type: name}).Check(), name)
	}
	for _, name := range []string{"", "Create", "a b", "a.b", "a:b", "ä", "unsubscribed", strings.Repeat("x", 65)} {
		assert.Error(t, (&Change{Group: "g", Type: name}).Check(), name)
	}
}

func TestSplitArray(t *testing.T) {
	for _, test := range []struct {
		array string
		size  int
		want  []string
	}{
		{`[]`, 1, []string{``}},
		{`[ ]`, 1, []string{``}},
		{`[1]`, 1, []string{`1`}},
		{`[1,2,3]`, 1, []string{`1`, `2`, `3`}},
		{`[1,2,3]`, 3, []string{`1,2`, `3`}},
		{`[ 1 , 2 , 3 ]`, 5, []string{`1 , 2 `, `3 `}},
		{`[{"a":"],["},[[1],[2]],"\"]"]`, 12, []string{`{"a":"],["}`, `[[1],[2]]`, `"\"]"`}},
		{`[1,"longer than size",2]`, 3, []string{`1`, `"longer than size"`, `2`}},
	} {
		var got []string
		for _, piece := range SplitArray([]byte(test.array), test.size) {
			got = append(got, string(piece))
			assert.True(t, json.Valid([]byte("["+string(piece)+"]")))
		}
		assert.Equal(t, test.want, got, test.array)
	}
}

func TestDeepRequestsKeepTheirID(t *testing.T) {
	deep := strings.Repeat("[", 5) + strings.Repeat("]", 5)
	for frame, id := range map[string]string{
		`{"id":7,"type":"x","data":` + deep + `}`:         "7",
		` {"data":` + deep + `,"i\u0064" : "a" }`:         `"a"`,
		`{"id":` + deep + `,"type":"x"}`:                  "",
		`{"id":1,"id":2,"data":` + deep + `}`:             "",
		`{"id":1,"type":"a","type":"b","d":` + deep + `}`: "1",
		deep:                    "",
		`{"id":7,"data":[[[[[[`: "",
	} {
		r, err := DecodeRequest([]byte(frame), 4)
		require.ErrorContains(t, err, "nested deeper than 4 levels", frame)
		assert.Equal(t, id, string(r.ID), frame)
		_, err = DecodeRequest([]byte(frame), -1)
		if err != nil {
			assert.NotContains(t, err.Error(), "nested")
		}
	}
}
