package snapshots

import (
	"encoding/json"
	"reflect"

	"github.com/rohrpost/rohrpost/internal/wire"
)

// partBytes is about the length of a part in bytes. What comes to the connection while a
// part is written waits for it.
const partBytes = 64 << 10

// Encoded is the JSON of a snapshot. All that get the snapshot share it.
type Encoded struct {
	JSON  json.RawMessage
	Parts []json.RawMessage // arrays without their brackets; nil: it is no array
}

// Encode encodes what a function has returned. A nil slice is an empty array. An array
// longer than maxWhole bytes has several parts; a negative maxWhole means none has.
func Encode(v any, maxWhole int) (*Encoded, error) {
	object, err := wire.EncodeObject(v)
	if err != nil {
		return nil, err
	}
	e := &Encoded{JSON: object.JSON()}
	if string(e.JSON) == "null" && isList(v) {
		e.JSON = json.RawMessage("[]")
	}
	if e.JSON[0] != '[' {
		return e, nil
	}
	if maxWhole < 0 || len(e.JSON) <= maxWhole {
		e.Parts = []json.RawMessage{e.JSON[1 : len(e.JSON)-1]}
	} else {
		e.Parts = wire.SplitArray(e.JSON, min(partBytes, maxWhole))
	}
	return e, nil
}

// isList reports whether encoding/json makes an array of a value of v's type.
func isList(v any) bool {
	t := reflect.TypeOf(v)
	if _, encodesItself := v.(json.Marshaler); encodesItself || t == nil {
		return false
	}
	return t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8
}
