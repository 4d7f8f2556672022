package wire

import (
	"encoding/json"
	"iter"
	"strconv"
	"strings"
	"unicode/utf8"
)

// tooDeep reports whether frame, which need not be JSON, nests deeper than max levels;
// a negative max means any. It runs before any decoder that recurses.
func tooDeep(frame []byte, max int) bool {
	if max < 0 {
		return false
	}
	depth, inString := 0, false
	for i := 0; i < len(frame); i++ {
		c := frame[i]
		switch {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > max {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// Pairs yields the keys, still quoted, and the values of a JSON object. The
// object must be valid JSON and trimmed. Nothing is copied.
func Pairs(object []byte) iter.Seq2[[]byte, json.RawMessage] {
	return func(yield func([]byte, json.RawMessage) bool) {
		i := skipSpace(object, 1)
		for object[i] != '}' {
			end := skipString(object, i)
			key := object[i:end]
			i = skipSpace(object, skipSpace(object, end)+1) // the colon
			end = skipValue(object, i)
			if !yield(key, object[i:end:end]) {
				return
			}
			if i = skipSpace(object, end); object[i] == ',' {
				i = skipSpace(object, i+1)
			}
		}
	}
}

func skipSpace(b []byte, i int) int {
	for b[i] == ' ' || b[i] == '\t' || b[i] == '\r' || b[i] == '\n' {
		i++
	}
	return i
}

// skipString returns the place after the string that starts at i.
func skipString(b []byte, i int) int {
	for i++; b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// skipValue returns the place after the value that starts at i and is followed
// by something: a value of an object always is.
func skipValue(b []byte, i int) int {
	for depth := 0; ; {
		switch b[i] {
		case '"':
			i = skipString(b, i)
		case '{', '[':
			depth++
			i++
		case '}', ']':
			depth--
			i++
		default:
			i++
		}
		if depth == 0 && endsValue(b, i) {
			return i
		}
	}
}

// endsValue reports whether a value outside of nested ones ends before i. Also
// right after a string, an array or an object one of these bytes must follow.
func endsValue(b []byte, i int) bool {
	switch b[i] {
	case ',', '}', ']', ' ', '\t', '\r', '\n':
		return true
	}
	return false
}

// Unquote decodes a valid JSON string.
func Unquote(quoted []byte) string {
	body := string(quoted[1 : len(quoted)-1])
	if !strings.Contains(body, `\`) {
		return body
	}
	var s string
	if err := json.Unmarshal(quoted, &s); err != nil {
		return body // cannot be: the string is valid
	}
	return s
}

// SafeName prepares a name from a client for use in an error text: at most 64
// bytes, all printable, and no quote that could end it.
func SafeName(name string) string {
	const limit = 64
	if len(name) > limit {
		end := limit
		for !utf8.RuneStart(name[end]) {
			end--
		}
		name = name[:end]
	}
	quoted := strconv.Quote(name)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `'`, `\'`)
}

// SplitArray divides a trimmed, valid JSON array between its items. Each piece has at
// most size bytes, unless it is one item that has more, and lacks the brackets. Nothing
// is copied.
func SplitArray(array []byte, size int) (pieces []json.RawMessage) {
	i := skipSpace(array, 1)
	start := i
	for array[i] != ']' {
		end := skipValue(array, i)
		if end-start > size && i > start {
			last := i - 1 // of the bytes between the items
			for array[last] != ',' {
				last--
			}
			pieces = append(pieces, array[start:last:last])
			start = i
		}
		if i = skipSpace(array, end); array[i] == ',' {
			i = skipSpace(array, i+1)
		}
	}
	return append(pieces, array[start:i:i])
}
