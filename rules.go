package rohrpost

import (
	"fmt"
	"slices"

	"github.com/rohrpost/rohrpost/internal/wire"
)

// rules are functions for patterns of group names, those with most literal bytes
// first. They never change.
type rules[F any] []rule[F]

type rule[F any] struct {
	pattern wire.Pattern
	do      F
}

// with returns rules with one more. It panics if the pattern is malformed, or if an
// equal one is there.
func (rs rules[F]) with(text string, do F) rules[F] {
	p, err := wire.ParsePattern(text)
	if err != nil {
		panic(fmt.Sprintf("rohrpost: pattern %q: %v", text, err))
	}
	for _, r := range rs {
		if r.pattern.Equal(p) {
			panic(fmt.Sprintf("Pattern for %q is already defined", text))
		}
	}
	more := append(slices.Clone(rs), rule[F]{p, do})
	slices.SortStableFunc(more, func(a, b rule[F]) int { return b.pattern.Weight() - a.pattern.Weight() })
	return more
}

// find returns the function for a group, the zero F if there is none.
func (rs rules[F]) find(group string) (do F, params Params) {
	for _, r := range rs {
		if params, ok := r.pattern.Match(group); ok {
			return r.do, params
		}
	}
	return do, nil
}
