package rohrpost

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// encodeObject renders v as JSON that stays what it is whatever happens to v
// afterwards. A panic in a MarshalJSON method is an error like any other.
func encodeObject(v any) (json.RawMessage, error) {
	raw, err := encodeValue(v)
	if _, given := v.(json.RawMessage); given {
		raw = bytes.Clone(raw)
	}
	return raw, err
}

// encodeValue is encodeObject without the copy of a json.RawMessage: that one
// is checked and taken as it is.
func encodeValue(v any) (raw json.RawMessage, err error) {
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
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	// encoding/json lets invalid UTF-8 pass in what is JSON already. In a text
	// frame it would make the other end close the connection.
	if !utf8.Valid(raw) {
		return nil, fmt.Errorf("encode %T: invalid UTF-8", v)
	}
	return raw, nil
}

// encodeOptional is encodeValue for a value that may be absent: nil, or a
// json.RawMessage without a byte in it.
func encodeOptional(v any) (json.RawMessage, error) {
	if absent(v) {
		return nil, nil
	}
	return encodeValue(v)
}

func absent(v any) bool {
	raw, ok := v.(json.RawMessage)
	return v == nil || ok && len(raw) == 0
}

// encodeID renders the id of a message, or a random one when id is absent.
func encodeID(id any) (json.RawMessage, error) {
	if absent(id) {
		return randomID(), nil
	}
	raw, err := encodeValue(id)
	if err != nil {
		return nil, err
	}
	if text := idProblem(raw); text != "" {
		return nil, errors.New(text)
	}
	return raw, nil
}

// idProblem says what is wrong with a valid JSON value as an id, or nothing.
func idProblem(raw json.RawMessage) string {
	switch {
	case len(raw) == 0 || raw[0] == '{' || raw[0] == '[' || raw[0] == 'n':
		return "Field 'id' must be a string, a number or a boolean."
	case len(raw) > maxID:
		return "Field 'id' is longer than 128 bytes."
	}
	return ""
}

func encodeString(s string) json.RawMessage {
	return appendString(make([]byte, 0, len(s)+2), s)
}

func appendString(b []byte, s string) []byte {
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

func appendUint(b []byte, n uint64) []byte { return strconv.AppendUint(b, n, 10) }

func trimSpace(raw []byte) []byte { return bytes.Trim(raw, " \t\r\n") }
