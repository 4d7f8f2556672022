package wire

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// AnyGroup is the pattern that matches every group.
const AnyGroup = "{any}"

// Pattern is a parsed pattern of group names: literals[0], a placeholder, literals[1],
// another one, and so on. Only the first and the last literal may be empty.
type Pattern struct {
	literals []string
	names    []string // of the placeholders, one less than literals
}

// ParsePattern reads a pattern of literal text and {name} placeholders.
func ParsePattern(text string) (Pattern, error) {
	var p Pattern
	if text == "" {
		return p, errors.New("empty")
	}
	for rest := text; ; {
		literal, after, more := strings.Cut(rest, "{")
		if literal != "" && !fitsGroup(literal) {
			return p, fmt.Errorf("%q can be in no group name", literal)
		}
		if more && literal == "" && len(p.names) > 0 {
			return p, errors.New("two placeholders need text between them")
		}
		p.literals = append(p.literals, literal)
		if !more {
			return p, nil
		}
		name, tail, closed := strings.Cut(after, "}")
		if !closed || !validName(name) {
			return p, errors.New("a placeholder is {name}, of letters, digits and _")
		}
		if slices.Contains(p.names, name) {
			return p, fmt.Errorf("two placeholders are called %q", name)
		}
		p.names = append(p.names, name)
		rest = tail
	}
}

// Match returns what the placeholders stand for in a valid group name: one
// byte at least, up to the next literal, the last one up to the closing literal.
func (p Pattern) Match(group string) (map[string]string, bool) {
	last := len(p.literals) - 1
	if last == 0 {
		return map[string]string{}, group == p.literals[0]
	}
	rest, ok := strings.CutPrefix(group, p.literals[0])
	if !ok {
		return nil, false
	}
	if rest, ok = strings.CutSuffix(rest, p.literals[last]); !ok || rest == "" {
		return nil, false
	}
	params := make(map[string]string, len(p.names))
	for i, literal := range p.literals[1:last] {
		at := strings.Index(rest[1:], literal) + 1
		if at < 1 || at+len(literal) == len(rest) {
			return nil, false
		}
		params[p.names[i]] = rest[:at]
		rest = rest[at+len(literal):]
	}
	params[p.names[last-1]] = rest
	return params, true
}

// Equal reports whether two patterns match the same names in the same way.
func (p Pattern) Equal(q Pattern) bool { return slices.Equal(p.literals, q.literals) }

// Weight is the number of literal bytes: the more, the more exact.
func (p Pattern) Weight() int { return len(strings.Join(p.literals, "")) }

func validName(s string) bool {
	return s != "" && fitsGroup(s) && !strings.ContainsAny(s, ".:-")
}
