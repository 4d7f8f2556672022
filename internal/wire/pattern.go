package wire

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// AnyGroup is the pattern that matches every group.
const AnyGroup = "{any}"

// Pattern is a parsed pattern of group names: literals[0], a placeholder, literals[1],
// another one, and so on. Only the first and the last literal may be empty.
//
// Names have one reading: within the value of a placeholder the first byte of the literal
// that follows is escaped, so that this literal begins at the first place where it can.
type Pattern struct {
	literals     []string
	placeholders []placeholder // one less than literals
}

type placeholder struct {
	name string
	kind kind
}

// ParsePattern reads a pattern of literal text and the placeholders {name}, {name:int} and
// {name:uuid}.
func ParsePattern(text string) (Pattern, error) {
	p, err := ParseTemplate(text)
	for _, ph := range p.placeholders {
		if err == nil && !validName(ph.name) {
			err = errors.New("a placeholder is {name}, {name:int} or {name:uuid}; the name consists of letters, digits and _")
		}
	}
	return p, err
}

// ParseTemplate is ParsePattern for placeholders whose names may have any characters but
// braces. In such a name only ":int" and ":uuid" at its end are a type.
func ParseTemplate(text string) (Pattern, error) {
	var p Pattern
	if text == "" {
		return p, errors.New("empty")
	}
	for rest := text; ; {
		literal, after, more := strings.Cut(rest, "{")
		if err := p.addLiteral(literal, more); err != nil || !more {
			return p, err
		}
		name, tail, closed := strings.Cut(after, "}")
		if !closed || strings.Contains(name, "{") {
			return p, fmt.Errorf("%q is not closed", "{"+after)
		}
		if err := p.addPlaceholder(name); err != nil {
			return p, err
		}
		rest = tail
	}
}

func (p *Pattern) addLiteral(literal string, more bool) error {
	if !fitsGroup(literal) {
		return fmt.Errorf("%q can be in no group name", literal)
	}
	if before := len(p.placeholders) - 1; before >= 0 {
		switch {
		case literal == "" && more:
			return errors.New("two placeholders need text between them, else a name has several readings")
		case literal != "" && literal[0] == escape:
			return fmt.Errorf("%q follows a placeholder: it must not begin with %q, which begins an escaped byte", literal, escape)
		case literal != "" && isDigit(literal[0]) && p.placeholders[before].kind == integer:
			return fmt.Errorf("%q follows a number: it must not begin with a digit", literal)
		}
	}
	p.literals = append(p.literals, literal)
	return nil
}

func (p *Pattern) addPlaceholder(text string) error {
	ph := parsePlaceholder(text)
	if ph.name == "" {
		return errors.New("a placeholder has no name")
	}
	if slices.ContainsFunc(p.placeholders, func(other placeholder) bool { return other.name == ph.name }) {
		return fmt.Errorf("two placeholders are called %q", ph.name)
	}
	p.placeholders = append(p.placeholders, ph)
	return nil
}

// Format returns the name of the group with these values, one for each placeholder.
func (p Pattern) Format(values map[string]string) (string, error) {
	name := append(make([]byte, 0, 64), p.literals[0]...)
	for i, ph := range p.placeholders {
		value, given := values[ph.name]
		if !given {
			return "", fmt.Errorf("no value for %q", ph.name)
		}
		var err error
		if name, err = p.AppendValue(name, i, value); err != nil {
			return "", err
		}
		name = append(name, p.literals[i+1]...)
	}
	for name := range values { // it would be in no name, and so several values in one
		if !slices.ContainsFunc(p.placeholders, func(ph placeholder) bool { return ph.name == name }) {
			return "", fmt.Errorf("the pattern has no placeholder %q", name)
		}
	}
	if len(name) > MaxGroupBytes {
		return "", fmt.Errorf("the name has %d bytes, more than %d", len(name), MaxGroupBytes)
	}
	return string(name), nil
}

// Literal returns the text before placeholder i, or after all if there are only i.
func (p Pattern) Literal(i int) string { return p.literals[i] }

// Names returns the names of the placeholders.
func (p Pattern) Names() []string {
	names := make([]string, len(p.placeholders))
	for i, ph := range p.placeholders {
		names[i] = ph.name
	}
	return names
}

// CheckParts returns an error if placeholder i cannot stand for a value of so many parts.
func (p Pattern) CheckParts(i, parts int) error {
	ph := p.placeholders[i]
	switch {
	case parts < 2:
		return nil
	case ph.kind != text:
		return fmt.Errorf("{%s} stands for %d columns: it is no %s", ph.name, parts, ph.kind)
	case p.avoid(i) == ':':
		return fmt.Errorf("{%s} stands for %d columns, joined by \":\": no \":\" may follow it", ph.name, parts)
	}
	return nil
}

// AppendValue appends the value of placeholder i.
func (p Pattern) AppendValue(b []byte, i int, value string) ([]byte, error) {
	switch ph := p.placeholders[i]; {
	case value == "":
		return b, fmt.Errorf("the value of %q is empty", ph.name)
	case ph.kind != text && !ph.kind.fits(value):
		return b, fmt.Errorf("the value of %q, %.100q, is no %s", ph.name, value, ph.kind)
	case ph.kind != text:
		return append(b, value...), nil
	case !utf8.ValidString(value):
		return b, fmt.Errorf("the value of %q, %.100q, is no UTF-8", ph.name, value)
	}
	return appendEscaped(b, value, p.avoid(i), 0), nil
}

// AppendPart appends one of several parts of the value of placeholder i. The caller joins
// them by ":", which is escaped within each, and calls CheckParts before.
func (p Pattern) AppendPart(b []byte, i int, part string) ([]byte, error) {
	if !utf8.ValidString(part) {
		return b, fmt.Errorf("a part of %q, %.100q, is no UTF-8", p.placeholders[i].name, part)
	}
	return appendEscaped(b, part, p.avoid(i), ':'), nil
}

// avoid returns the byte that is escaped in the value of placeholder i, zero for none.
func (p Pattern) avoid(i int) byte {
	if literal := p.literals[i+1]; literal != "" {
		return literal[0]
	}
	return 0
}

// Match returns the values of the placeholders in a valid group name. A value of text is
// one byte at least, up to the next literal, the last one up to the closing literal. Match
// is false also where a value is no escaped UTF-8.
func (p Pattern) Match(group string) (map[string]string, bool) {
	values, read := make(map[string]string, len(p.placeholders)), true
	matches := p.split(group, func(i int, escaped string) {
		value, ok := unescape(escaped)
		values[p.placeholders[i].name], read = value, read && ok
	})
	if !matches || !read {
		return nil, false
	}
	return values, true
}

// reads is Match without the values.
func (p Pattern) reads(group string) bool {
	read := true
	return p.split(group, func(_ int, escaped string) {
		_, ok := unescape(escaped)
		read = read && ok
	}) && read
}

// Matches is Match without the values. It takes a "~" that begins no escape for itself: a
// program may give any name to its groups.
func (p Pattern) Matches(group string) bool { return p.split(group, func(int, string) {}) }

// split calls each with the escaped values in a group name.
func (p Pattern) split(group string, each func(i int, escaped string)) bool {
	last := len(p.placeholders) - 1
	if last < 0 {
		return group == p.literals[0]
	}
	rest, ok := strings.CutPrefix(group, p.literals[0])
	if ok {
		rest, ok = strings.CutSuffix(rest, p.literals[last+1])
	}
	for i := 0; ok && i < last; i++ {
		kind, literal := p.placeholders[i].kind, p.literals[i+1]
		n := kind.length(rest, literal)
		if ok = strings.HasPrefix(rest[n:], literal) && kind.fits(rest[:n]); ok {
			each(i, rest[:n])
			rest = rest[n+len(literal):]
		}
	}
	if !ok || !p.placeholders[last].kind.fits(rest) {
		return false
	}
	each(last, rest)
	return true
}

// Equal reports whether two patterns match the same names in the same way.
func (p Pattern) Equal(q Pattern) bool {
	return slices.Equal(p.literals, q.literals) &&
		slices.EqualFunc(p.placeholders, q.placeholders, func(a, b placeholder) bool { return a.kind == b.kind })
}

// Weight is the number of literal bytes: the more, the more exact.
func (p Pattern) Weight() int { return len(strings.Join(p.literals, "")) }

// String returns the text of the pattern.
func (p Pattern) String() string { return p.render(false) }

// Parsable is String, with numbers for names where the names of a template are not those of
// ParsePattern.
func (p Pattern) Parsable() string {
	return p.render(slices.ContainsFunc(p.placeholders, func(ph placeholder) bool { return !validName(ph.name) }))
}

func (p Pattern) render(numbered bool) string {
	var s strings.Builder
	s.WriteString(p.literals[0])
	for i, ph := range p.placeholders {
		if numbered {
			ph.name = strconv.Itoa(i)
		}
		s.WriteString("{" + ph.name + ph.kind.suffix() + "}" + p.literals[i+1])
	}
	return s.String()
}

func validName(s string) bool {
	return s != "" && fitsGroup(s) && !strings.ContainsAny(s, ".:-~")
}
