package upstream

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCodec(t *testing.T) {
	none, key, other := codec{}, codec{[]byte("key")}, codec{[]byte("other")}
	signed := key.encode("g", []byte("{}"))
	changed := append([]byte{}, signed...)
	changed[len(changed)-1] = ']'
	for _, row := range []struct {
		name    string
		codec   codec
		stream  string
		payload []byte
		want    error
	}{
		{"plain", none, "g", none.encode("g", []byte("{}")), nil},
		{"signed", key, "g", signed, nil},
		{"signed, read without a key", none, "g", signed, nil},
		{"not signed", key, "g", none.encode("g", []byte("{}")), errSignature},
		{"another key", other, "g", signed, errSignature},
		{"another stream", key, "h", signed, errSignature},
		{"changed", key, "g", changed, errSignature},
		{"cut", key, "g", signed[:20], errVersion},
		{"a later version", key, "g", []byte{9, '{', '}'}, errVersion},
		{"no version", none, "g", []byte("{}"), errVersion},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := row.codec.decode(row.stream, row.payload)
			require.ErrorIs(t, err, row.want)
			if row.want == nil {
				assert.Equal(t, "{}", string(got))
			}
		})
	}
	for _, c := range []codec{none, key} {
		assert.Len(t, c.encode("g", nil), c.overhead())
		got, err := c.decode("g", nil)
		require.NoError(t, err)
		assert.Empty(t, got, "an empty message stays so")
	}
}

func FuzzCodec(f *testing.F) {
	f.Add([]byte{}, []byte("key"))
	f.Add([]byte{1, '{', '}'}, []byte(nil))
	f.Add((&codec{[]byte("key")}).encode("g", []byte("{}")), []byte("key"))
	f.Fuzz(func(t *testing.T, payload, key []byte) {
		c := codec{key}
		got, err := c.decode("g", payload)
		if err != nil || len(got) == 0 || key == nil {
			return
		}
		assert.Equal(t, payload, c.encode("g", got), "what it accepts is what it encodes")
	})
}
