package wire

import (
	"strings"
	"unicode/utf8"
)

// escape begins the two upper-case hexadecimal digits of a byte that a value has, and that
// a group name cannot have in its place.
const escape = '~'

const hexDigits = "0123456789ABCDEF"

// AppendEscaped appends a value as a group name carries it at its end: bytes outside of
// the grammar are escaped, and "~".
func AppendEscaped(b []byte, value string) []byte { return appendEscaped(b, value, 0, 0) }

// appendEscaped is AppendEscaped that also escapes two more bytes. Zero bytes are escaped
// anyway.
func appendEscaped(b []byte, value string, avoid, alsoAvoid byte) []byte {
	for i := range len(value) {
		c := value[i]
		if c == escape || c == avoid || c == alsoAvoid || !groupByte(c) {
			b = append(b, escape, hexDigits[c>>4], hexDigits[c&15])
		} else {
			b = append(b, c)
		}
	}
	return b
}

// unescape returns the value that a part of a group name stands for. It is false for a
// "~" that begins no escape, and for a value that is no UTF-8.
func unescape(s string) (string, bool) {
	if strings.IndexByte(s, escape) < 0 {
		return s, true
	}
	value := make([]byte, 0, len(s))
	for len(s) > 0 {
		n := unit(s)
		switch {
		case n > 1:
			value = append(value, hexDigit(s[1])<<4|hexDigit(s[2]))
		case s[0] == escape:
			return "", false
		default:
			value = append(value, s[0])
		}
		s = s[n:]
	}
	return string(value), utf8.Valid(value)
}

// unit returns the length of the first byte of a value, which may be escaped. s is not
// empty.
func unit(s string) int {
	if s[0] == escape && len(s) > 2 && isHexDigit(s[1]) && isHexDigit(s[2]) {
		return 3
	}
	return 1
}

func isHexDigit(c byte) bool { return isDigit(c) || 'A' <= c && c <= 'F' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// hexDigit returns the value of a digit.
func hexDigit(c byte) byte {
	if isDigit(c) {
		return c - '0'
	}
	return c - 'A' + 10
}
