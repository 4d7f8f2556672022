package handlers_test

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rohrpost/rohrpost/handlers"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// FuzzParseSubscribe checks that a position is taken as it was given, or not at all.
func FuzzParseSubscribe(f *testing.F) {
	for _, data := range []string{
		`{"group":"g","since":{"epoch":"A","offset":1},"snapshot":true}`, `{"since":{"offset":18446744073709551615,"epoch":"\u0041"}}`,
		`{"since":{"epoch":"A","offset":1e3}}`, `{"since":{"epoch":"A","epoch":"B"}}`, `{"since":null,"snapshot":null}`, `{"since":{"epoch":"A","offset":-0}}`, `[]`,
	} {
		f.Add([]byte(data))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !json.Valid(data) {
			t.Skip() // the wire.Envelope is checked before
		}
		got, err := handlers.ParseSubscribe(data)
		if err != nil || !got.Resume {
			return
		}
		var fields, since map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(data, &fields))
		require.NoError(t, json.Unmarshal(fields["since"], &since))
		var epoch string
		require.NoError(t, json.Unmarshal(since["epoch"], &epoch))
		assert.Equal(t, epoch, got.Epoch)
		assert.Equal(t, strconv.FormatUint(got.Offset, 10), string(since["offset"]))
		assert.NotEmpty(t, got.Epoch)
	})
}

// FuzzPosition checks that a position which a hub has sent comes back.
func FuzzPosition(f *testing.F) {
	f.Add("A", uint64(0), true)
	f.Add("\u2028\"\\", uint64(math.MaxUint64), false)
	f.Add(strings.Repeat("ä", 64), uint64(1)<<53, false)
	f.Add(strings.Repeat("a", 129), uint64(1), false)
	f.Add("", uint64(1), false)
	f.Fuzz(func(t *testing.T, epoch string, offset uint64, snapshot bool) {
		if !utf8.ValidString(epoch) {
			t.Skip() // no JSON
		}
		data, err := json.Marshal(map[string]any{"group": "g", "since": map[string]any{"epoch": epoch, "offset": offset}, "snapshot": snapshot})
		require.NoError(t, err)
		got, err := handlers.ParseSubscribe(data)
		if epoch == "" || len(epoch) > 128 {
			require.Error(t, err)
			return
		}
		require.NoError(t, err)
		assert.Equal(t, handlers.Subscribe{Resume: true, Epoch: epoch, Offset: offset, Snapshot: snapshot}, got)
	})
}
