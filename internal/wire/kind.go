package wire

import (
	"strconv"
	"strings"
)

// kind is the type of a placeholder: what it stands for.
type kind int

const (
	text    kind = iota // any bytes, some of them escaped
	integer             // a decimal number of 64 bits, in its one spelling
	uuid                // 32 lower-case hexadecimal digits in their five groups
)

const uuidBytes = len("01234567-89ab-cdef-0123-456789abcdef")

// parsePlaceholder reads what stands between braces.
func parsePlaceholder(s string) placeholder {
	for _, k := range []kind{integer, uuid} {
		if name, typed := strings.CutSuffix(s, k.suffix()); typed {
			return placeholder{name, k}
		}
	}
	return placeholder{name: s}
}

// suffix returns what a placeholder of the kind ends with.
func (k kind) suffix() string { return [...]string{"", ":int", ":uuid"}[k] }

// String returns the kind as an error names it.
func (k kind) String() string { return [...]string{"text", "integer", "UUID in lower case"}[k] }

// fits reports whether s is an escaped value of the kind.
func (k kind) fits(s string) bool {
	switch k {
	case integer:
		return isInteger(s)
	case uuid:
		return isUUID(s)
	}
	return s != ""
}

// length returns how many bytes of s belong to a value that a literal follows. That they
// fit, and that the literal follows, is yet to be seen.
func (k kind) length(s, literal string) int {
	n := 0
	switch k {
	case integer:
		for n < len(s) && (isDigit(s[n]) || n == 0 && s[n] == '-') {
			n++
		}
	case uuid:
		n = min(uuidBytes, len(s))
	default:
		for n < len(s) && (n == 0 || !strings.HasPrefix(s[n:], literal)) {
			n += unit(s[n:])
		}
	}
	return n
}

// isInteger reports whether s is a number of 64 bits, with or without a sign, as strconv
// spells it.
func isInteger(s string) bool {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return strconv.FormatInt(n, 10) == s
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return err == nil && strconv.FormatUint(n, 10) == s
}

func isUUID(s string) bool {
	for i := range len(s) {
		switch i {
		case 8, 13, 18, 23:
			if s[i] != '-' {
				return false
			}
		default:
			if !isDigit(s[i]) && (s[i] < 'a' || s[i] > 'f') {
				return false
			}
		}
	}
	return len(s) == uuidBytes
}
