package handlers_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/rohrpost/rohrpost/handlers"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// manyKeys is the data of a request whose keys fill a message.
func manyKeys() string {
	var b strings.Builder
	b.WriteString(`{"group":"g"`)
	for i := 0; b.Len() < 64<<10-100; i++ {
		fmt.Fprintf(&b, `,"%x":1`, i)
	}
	return b.String() + "}"
}

// BenchmarkManyKeys parses a subscribe request with as many keys as fit into a message.
func BenchmarkManyKeys(b *testing.B) {
	frame := []byte(`{"id":1,"type":"subscribe","data":` + manyKeys() + `}`)
	b.Run("valid", func(b *testing.B) {
		for b.Loop() {
			json.Valid(frame)
		}
	})
	b.Run("decode", func(b *testing.B) {
		for b.Loop() {
			_, _ = wire.DecodeRequest(frame, 64)
		}
	})
	b.Run("subscribe", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r, err := wire.DecodeRequest(frame, 64)
			if err == nil {
				_, err = handlers.GroupOf(r.Data)
			}
			if err == nil {
				_, err = handlers.ParseSubscribe(r.Data)
			}
			_ = err
		}
	})
}
