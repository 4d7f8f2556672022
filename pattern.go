package rohrpost

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// anyGroup is the pattern of every group.
const anyGroup = "{any}"

// pattern is a parsed Allow pattern: literals[0], a placeholder, literals[1],
// another one, and so on. Only the first and the last literal may be empty.
type pattern struct {
	literals []string
	names    []string // of the placeholders, one less than literals
}

// parsePattern reads a pattern of literal text and {name} placeholders.
func parsePattern(text string) (pattern, error) {
	var p pattern
	if text == "" {
		return p, errors.New("empty")
	}
	for rest := text; ; {
		literal, after, more := strings.Cut(rest, "{")
		if literal != "" && !validLiteral(literal) {
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

// match returns what the placeholders stand for in a valid group name: one
// byte at least, up to the next literal, the last one up to the closing literal.
func (p pattern) match(group string) (Params, bool) {
	last := len(p.literals) - 1
	if last == 0 {
		return Params{}, group == p.literals[0]
	}
	rest, ok := strings.CutPrefix(group, p.literals[0])
	if !ok {
		return nil, false
	}
	if rest, ok = strings.CutSuffix(rest, p.literals[last]); !ok || rest == "" {
		return nil, false
	}
	params := make(Params, len(p.names))
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

// equal reports whether two patterns match the same names in the same way.
func (p pattern) equal(q pattern) bool { return slices.Equal(p.literals, q.literals) }

// weight is the number of literal bytes: the more, the more exact.
func (p pattern) weight() int { return len(strings.Join(p.literals, "")) }

func validLiteral(s string) bool {
	for i := range len(s) {
		if !groupByte(s[i]) {
			return false
		}
	}
	return true
}

func validName(s string) bool {
	return s != "" && validLiteral(s) && !strings.ContainsAny(s, ".:-")
}
