package wire

import (
	"fmt"
	"slices"
)

// Rules are functions for patterns of group names. The patterns with most literal bytes
// come first. A Rules value never changes. The zero value has none.
type Rules[F any] []rule[F]

type rule[F any] struct {
	pattern Pattern
	do      F
}

// Conflict says that two patterns match one name.
type Conflict struct {
	Decides, Other string // patterns
	Name           string // that both match
}

// With returns the rules with one more, and its conflicts with them. The error is about a
// pattern that is malformed, or defined already.
func (rs Rules[F]) With(text string, do F) (more Rules[F], conflicts []Conflict, err error) {
	p, err := ParsePattern(text)
	if err != nil {
		return rs, nil, fmt.Errorf("pattern %q: %w", text, err)
	}
	for _, r := range rs {
		if r.pattern.Equal(p) {
			return rs, nil, fmt.Errorf("pattern %q is already defined", text)
		}
		if name, ok := Overlap(r.pattern, p); ok {
			decides, other := r.pattern, p
			if p.Weight() > r.pattern.Weight() {
				decides, other = p, r.pattern
			}
			conflicts = append(conflicts, Conflict{decides.String(), other.String(), name})
		}
	}
	more = append(slices.Clone(rs), rule[F]{p, do})
	slices.SortStableFunc(more, func(a, b rule[F]) int { return b.pattern.Weight() - a.pattern.Weight() })
	return more, conflicts, nil
}

// Find returns the function for a group, the zero F if no pattern matches.
func (rs Rules[F]) Find(group string) (do F, values map[string]string) {
	for _, r := range rs {
		if values, ok := r.pattern.Match(group); ok {
			return r.do, values
		}
	}
	return do, nil
}

// For is Find without the values.
func (rs Rules[F]) For(group string) (do F) {
	for _, r := range rs {
		if r.pattern.reads(group) {
			return r.do
		}
	}
	return do
}
