package outbox

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBatches(t *testing.T) {
	messages := []broker.Message{{Stream: "g", Payload: []byte(`{"a":1}`)}, {Stream: "item-{pk}", Payload: []byte("{\n}")}, {Stream: "h", Payload: []byte{}}}
	encoded := encode(messages)
	assert.Equal(t, "11:g7:{\"a\":1}9:item-{pk}3:{\n}1:h0:", string(encoded))
	decoded, err := decode(encoded)
	require.NoError(t, err)
	assert.Equal(t, messages, decoded)
	none, err := decode(nil)
	require.NoError(t, err)
	assert.Empty(t, none)
}

// A batch that is too large for a statement becomes resyncs of its groups, one of all groups
// if there are many.
func TestLargeBatches(t *testing.T) {
	large := []broker.Message{{Stream: "g", Payload: make([]byte, maxBatchBytes)}, {Stream: "h"}, {Stream: "g"}}
	decoded, err := decode(encode(large))
	require.NoError(t, err)
	require.Len(t, decoded, 2)
	assert.Equal(t, `g resync {"reason":"rows"}`, describe(decoded[0]))
	assert.Equal(t, `h resync {"reason":"rows"}`, describe(decoded[1]))

	for i := range maxResyncs + 1 {
		large = append(large, broker.Message{Stream: fmt.Sprint("group-", i)})
	}
	decoded, err = decode(encode(large))
	require.NoError(t, err)
	require.Len(t, decoded, 1)
	assert.Equal(t, `{any} {"reason":"rows"}`, describe(decoded[0]))

	var longest []broker.Message
	for i := range maxResyncs {
		longest = append(longest, broker.Message{Stream: fmt.Sprint(strings.Repeat("g", 195), "-", 1000+i), Payload: make([]byte, 2000)})
	}
	assert.Less(t, len(encode(longest)), maxBatchBytes)
}

func FuzzDecode(f *testing.F) {
	f.Add(encode([]broker.Message{{Stream: "g", Payload: []byte(`{}`)}}))
	f.Add([]byte("2later"))
	f.Add([]byte("199999999999:g"))
	f.Add([]byte("11:g4294967295:"))
	f.Fuzz(func(t *testing.T, row []byte) {
		messages, err := decode(row)
		if err != nil || len(row) > maxBatchBytes {
			return
		}
		again, err := decode(encode(messages))
		require.NoError(t, err)
		require.Equal(t, len(messages), len(again))
		for i := range messages {
			assert.Equal(t, messages[i].Stream, again[i].Stream)
			assert.Equal(t, messages[i].Payload, again[i].Payload)
		}
	})
}
