// Package wire encodes and decodes what travels between hub and client: the JSON of
// the protocol, and the WebSocket frames that carry it. It imports the standard
// library only.
package wire

// MaxGroupBytes is the length of the longest group name.
const MaxGroupBytes = 200

// ValidGroup reports whether name fits the grammar of group names,
// [A-Za-z0-9_.:~-]{1,200}.
func ValidGroup(name string) bool {
	return name != "" && len(name) <= MaxGroupBytes && fitsGroup(name)
}

// fitsGroup reports whether a group name may contain s.
func fitsGroup(s string) bool {
	for i := range len(s) {
		if !groupByte(s[i]) {
			return false
		}
	}
	return true
}

func groupByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return c == '_' || c == '.' || c == ':' || c == '-' || c == escape
}
