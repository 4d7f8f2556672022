package wire

import (
	"encoding/json"
	"unicode/utf8"
)

// MaxFields is the number of keys that an object of a client may have where the hub reads
// the keys: a request, and the data of a subscribe or hello request.
const MaxFields = 64

// Field is a key of an object, still quoted, and its value.
type Field struct {
	Key   []byte
	Value json.RawMessage
}

// shape is what splitObject has found.
type shape int

const (
	isObject  shape = iota
	isOther         // valid JSON that is no object
	isInvalid       // no JSON
	isDeep          // it nests deeper than it may; what follows was not looked at
	isWide          // an object with more than MaxFields keys; what follows was not looked at
)

// maxLevels is the number of levels for which a splitter has room.
const maxLevels = 64

// SplitObject splits a JSON object, which nests at most 64 levels and is valid UTF-8, into
// its fields. It copies nothing and does not recurse. It reports false for anything else,
// and for an object with more than MaxFields.
func SplitObject(text []byte) (fields []Field, ok bool) {
	fields, found := splitObject(text, maxLevels, make([]Field, 0, 4))
	return fields, found == isObject && utf8.Valid(text)
}

// splitter is one pass over a text.
type splitter struct {
	text    []byte
	at      int    // negative: the text is not JSON
	objects uint64 // a bit for each level: it is an object
	depth   int
}

// splitObject is SplitObject for objects that nest at most maxDepth levels, which is 64 at
// most. It appends the fields up to where it stops.
func splitObject(text []byte, maxDepth int, fields []Field) ([]Field, shape) {
	s := splitter{text: text}
	found := isOther
	var key []byte // of the field of the outermost object whose value comes
	start := 0     // of that value
	for {
		c := s.token() // a value begins
		if s.depth == 1 {
			start = s.at
		}
		if s.depth == 0 && c == '{' {
			found = isObject
		}
		if c == '{' || c == '[' {
			if s.depth >= maxDepth {
				return fields, isDeep
			}
			s.push(c == '{')
			if empty := s.token() == c+2; !empty { // the closing bracket stands two after the opening one
				if c == '{' {
					if name := s.key(); s.depth == 1 {
						key = name
					}
				}
				if s.at < 0 {
					return fields, isInvalid
				}
				continue
			}
			s.at++
			s.depth--
		} else {
			s.scalar(c)
		}
		for { // a value has ended
			if s.at < 0 {
				return fields, isInvalid
			}
			if s.depth == 1 && found == isObject {
				if len(fields) == MaxFields {
					return fields, isWide
				}
				fields = append(fields, Field{key, text[start:s.at:s.at]})
			}
			end := s.token()
			if s.depth == 0 {
				if s.at < len(text) {
					return fields, isInvalid
				}
				return fields, found
			}
			inObject := s.objects>>(s.depth-1)&1 == 1
			if end == ',' {
				s.at++
				if inObject {
					s.token()
					if name := s.key(); s.depth == 1 {
						key = name
					}
				}
				if s.at < 0 {
					return fields, isInvalid
				}
				break
			}
			if !(end == '}' && inObject || end == ']' && !inObject) {
				return fields, isInvalid
			}
			s.at++
			s.depth--
		}
	}
}

// token skips white space, and returns the byte after it, 0 at the end of the text.
func (s *splitter) token() byte {
	for s.at < len(s.text) {
		switch c := s.text[s.at]; c {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return c
		}
	}
	return 0
}

func (s *splitter) push(object bool) {
	s.at++
	s.objects &^= 1 << s.depth
	if object {
		s.objects |= 1 << s.depth
	}
	s.depth++
}

// key passes a key and its colon.
func (s *splitter) key() []byte {
	start := s.at
	if start < 0 || start >= len(s.text) || s.text[start] != '"' {
		s.at = -1
		return nil
	}
	s.string()
	if s.at < 0 {
		return nil
	}
	key := s.text[start:s.at]
	if s.token() != ':' {
		s.at = -1
		return nil
	}
	s.at++
	return key
}

// scalar passes a value that begins with c and is neither an array nor an object.
func (s *splitter) scalar(c byte) {
	switch c {
	case '"':
		s.string()
	case 't':
		s.literal("true")
	case 'f':
		s.literal("false")
	case 'n':
		s.literal("null")
	default:
		s.number()
	}
}

func (s *splitter) literal(word string) {
	end := s.at + len(word)
	if end > len(s.text) || string(s.text[s.at:end]) != word {
		s.at = -1
		return
	}
	s.at = end
}

// string passes a string. Its text need not be valid UTF-8, as with encoding/json.
func (s *splitter) string() {
	for i := s.at + 1; i < len(s.text); i++ {
		switch c := s.text[i]; {
		case c == '"':
			s.at = i + 1
			return
		case c < ' ':
			s.at = -1
			return
		case c == '\\':
			if i = s.escape(i + 1); i < 0 {
				s.at = -1
				return
			}
		}
	}
	s.at = -1
}

// escape returns the place of the last byte of an escape, of which the backslash stands
// before i, or -1.
func (s *splitter) escape(i int) int {
	if i >= len(s.text) {
		return -1
	}
	switch s.text[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i
	case 'u':
		if i+4 >= len(s.text) {
			return -1
		}
		for _, c := range s.text[i+1 : i+5] {
			if !isHex(c) {
				return -1
			}
		}
		return i + 4
	}
	return -1
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// number passes a number.
func (s *splitter) number() {
	i := s.at
	if i < len(s.text) && s.text[i] == '-' {
		i++
	}
	if i < len(s.text) && s.text[i] == '0' {
		i++
	} else if i = s.digits(i); i < 0 {
		s.at = -1
		return
	}
	if i < len(s.text) && s.text[i] == '.' {
		if i = s.digits(i + 1); i < 0 {
			s.at = -1
			return
		}
	}
	if i < len(s.text) && (s.text[i] == 'e' || s.text[i] == 'E') {
		i++
		if i < len(s.text) && (s.text[i] == '+' || s.text[i] == '-') {
			i++
		}
		i = s.digits(i)
	}
	s.at = i
}

// digits returns the place after one or more digits, or -1.
func (s *splitter) digits(i int) int {
	start := i
	for i < len(s.text) && '0' <= s.text[i] && s.text[i] <= '9' {
		i++
	}
	if i == start {
		return -1
	}
	return i
}
