package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Object is valid JSON, so that nothing validates it again.
type Object struct{ json json.RawMessage }

// JSON returns the bytes of the object. They must not be changed.
func (o Object) JSON() json.RawMessage { return o.json }

// IsNull reports whether the object is null.
func (o Object) IsNull() bool { return string(o.json) == "null" }

// EncodeObject encodes v into JSON that stays as it is, whatever happens to v
// afterwards. A panic in a MarshalJSON method is returned as an error.
func EncodeObject(v any) (Object, error) {
	raw, err := EncodeValue(v)
	if _, given := v.(json.RawMessage); given {
		raw = bytes.Clone(raw)
	}
	return Object{raw}, err
}

// EncodeValue is EncodeObject for a value that is used at once: it checks a
// json.RawMessage and does not copy it. It takes an Object as it is.
func EncodeValue(v any) (raw json.RawMessage, err error) {
	if object, ok := v.(Object); ok {
		return object.json, nil
	}
	defer func() {
		if p := recover(); p != nil {
			raw, err = nil, fmt.Errorf("encode %T: panic: %v", v, p)
		}
	}()
	if given, ok := v.(json.RawMessage); ok {
		if given = trimSpace(given); !json.Valid(given) {
			return nil, errors.New("encode json.RawMessage: invalid JSON")
		}
		raw = given
	} else if raw, err = json.Marshal(v); err != nil {
		return nil, fmt.Errorf("encode %T: %v", v, err) // not %w: the methods of the error are the user's code
	}
	// encoding/json does not check the UTF-8 of what is JSON already. A text frame
	// with invalid UTF-8 would make the client close the connection.
	if !utf8.Valid(raw) {
		return nil, fmt.Errorf("encode %T: invalid UTF-8", v)
	}
	return raw, nil
}

// EncodeOptional is EncodeValue for a value that may be absent: nil, or an empty
// json.RawMessage.
func EncodeOptional(v any) (json.RawMessage, error) {
	if absent(v) {
		return nil, nil
	}
	return EncodeValue(v)
}

func absent(v any) bool {
	raw, ok := v.(json.RawMessage)
	return v == nil || ok && len(raw) == 0
}

// EncodeID encodes the id of a message. An absent id becomes a random integer.
func EncodeID(id any) (json.RawMessage, error) {
	if absent(id) {
		return randomID(), nil
	}
	raw, err := EncodeValue(id)
	if err != nil {
		return nil, err
	}
	if text := idProblem(raw); text != "" {
		return nil, errors.New(text)
	}
	return raw, nil
}

// maxID is the length of the longest id in bytes, as it stands in the frame.
const maxID = 128

// idProblem returns what is wrong with a valid JSON value as an id, "" for nothing.
func idProblem(raw json.RawMessage) string {
	switch {
	case len(raw) == 0 || raw[0] == '{' || raw[0] == '[' || raw[0] == 'n':
		return "Field 'id' must be a string, a number or a boolean."
	case len(raw) > maxID:
		return "Field 'id' is longer than 128 bytes."
	}
	return ""
}

// EncodeString returns s as a JSON string.
func EncodeString(s string) json.RawMessage {
	return AppendString(make([]byte, 0, len(s)+2), s)
}

// AppendString appends s as a JSON string.
func AppendString(b []byte, s string) []byte {
	if isPlain(s) {
		return append(append(append(b, '"'), s...), '"')
	}
	raw, err := json.Marshal(s)
	if err != nil {
		panic(err) // encoding/json encodes every string
	}
	return append(b, raw...)
}

// isPlain reports whether encoding/json would escape nothing in s.
func isPlain(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ', c > '~', c == '"', c == '\\', c == '<', c == '>', c == '&':
			return false
		}
	}
	return true
}

func trimSpace(raw []byte) []byte { return bytes.Trim(raw, " \t\r\n") }

// KeyObject returns the object {"id": key}. The key must be valid JSON.
func KeyObject(key string) Object {
	object := make([]byte, 0, len(`{"id":}`)+len(key))
	object = append(object, `{"id":`...)
	object = append(object, key...)
	return Object{append(object, '}')}
}

// ObjectOf returns valid JSON as an Object.
func ObjectOf(valid json.RawMessage) Object { return Object{valid} }

// AppendField returns a JSON object with one more key, whose value is the pieces. The
// object must have a key already. Nothing is validated.
func AppendField(object json.RawMessage, key string, pieces ...[]byte) Object {
	size := len(object) + len(key) + len(`,"":`)
	for _, p := range pieces {
		size += len(p)
	}
	b := append(make([]byte, 0, size), object[:len(object)-1]...)
	b = append(append(append(b, `,"`...), key...), `":`...)
	for _, p := range pieces {
		b = append(b, p...)
	}
	return Object{append(b, '}')}
}

// Unite returns a JSON object with the values of two: those of b where both have a key. The
// keys keep the order of a, those of b alone follow.
func Unite(a, b json.RawMessage) json.RawMessage {
	later := map[string]json.RawMessage{}
	for key, value := range Pairs(b) {
		later[string(key)] = value
	}
	united := append(make([]byte, 0, len(a)+len(b)), '{')
	add := func(key []byte, value json.RawMessage) {
		if len(united) > 1 {
			united = append(united, ',')
		}
		united = append(append(append(united, key...), ':'), value...)
	}
	for key, value := range Pairs(a) {
		if replaced, is := later[string(key)]; is {
			value = replaced
			delete(later, string(key))
		}
		add(key, value)
	}
	for key, value := range Pairs(b) {
		if _, left := later[string(key)]; left {
			add(key, value)
		}
	}
	return append(united, '}')
}
