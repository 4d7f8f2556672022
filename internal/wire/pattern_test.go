package wire

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func parsed(t *testing.T, text string) Pattern {
	p, err := ParsePattern(text)
	require.NoError(t, err)
	return p
}

// A name is read only once it is well-formed, but a resync reaches any name.
func TestMatchesTakesAnyName(t *testing.T) {
	for name, want := range map[string]bool{"a-~": true, "a-~FF": true, "a-~41": true, "a-b": true, "b-a": false, "a-": false} {
		assert.Equal(t, want, parsed(t, "a-{x}").Matches(name), name)
		assert.Equal(t, name != "", parsed(t, AnyGroup).Matches(name))
	}
	_, ok := parsed(t, "a-{x}").Match("a-~")
	assert.False(t, ok)
}

func TestParts(t *testing.T) {
	p := parsed(t, "cell-{pk}.x")
	require.NoError(t, p.CheckParts(0, 2))
	b, err := p.AppendPart(nil, 0, "a:b.c")
	require.NoError(t, err)
	assert.Equal(t, "a~3Ab~2Ec", string(b))
	for _, text := range []string{"{pk}:x", "{pk}:", "{pk:int}", "{pk:uuid}"} {
		assert.Error(t, parsed(t, text).CheckParts(0, 2), text)
		assert.NoError(t, parsed(t, text).CheckParts(0, 1), text)
	}
	_, err = p.AppendPart(nil, 0, "\xff")
	assert.ErrorContains(t, err, "UTF-8")
	_, err = p.AppendValue(nil, 0, "\xff")
	assert.ErrorContains(t, err, "UTF-8")
}

func TestTemplateNames(t *testing.T) {
	p, err := ParseTemplate("odd-{the kind}.{a:b:int}")
	require.NoError(t, err)
	assert.Equal(t, []string{"the kind", "a:b"}, p.Names())
	assert.Equal(t, "odd-{the kind}.{a:b:int}", p.String())
	assert.Equal(t, "odd-{0}.{1:int}", p.Parsable())
	assert.Equal(t, "{a}-{b:uuid}", parsed(t, "{a}-{b:uuid}").Parsable())
	_, err = ParsePattern(p.String())
	assert.Error(t, err)
}

// TestOverlap compares Overlap with a search for a name that both patterns match.
func TestOverlap(t *testing.T) {
	pieces := []string{"a", "-", "-", "b", "1", "{x}", "{x}", "{x:int}"}
	random := func(r *rand.Rand) (p Pattern) {
		for {
			var text strings.Builder
			for range 1 + r.IntN(5) {
				text.WriteString(strings.Replace(pieces[r.IntN(len(pieces))], "x", string(rune('a'+text.Len())), 1))
			}
			if p, err := ParsePattern(text.String()); err == nil {
				return p
			}
		}
	}
	var names []string
	const letters = "ab-1"
	for n := 1; n <= 6; n++ {
		for i := range pow(len(letters), n) {
			name := make([]byte, n)
			for j := range name {
				name[j], i = letters[i%len(letters)], i/len(letters)
			}
			names = append(names, string(name))
		}
	}
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 1))
		p, q := random(r), random(r)
		name, found := Overlap(p, q)
		_, reverse := Overlap(q, p)
		assert.Equal(t, found, reverse, "%s, %s", p, q)
		if found {
			assert.True(t, p.Matches(name) && q.Matches(name), "%s and %s match %s", p, q, name)
			continue
		}
		for _, name := range names {
			if p.Matches(name) && q.Matches(name) {
				t.Fatalf("%s and %s both match %s", p, q, name)
			}
		}
	}
}

func pow(n, exponent int) int {
	result := 1
	for range exponent {
		result *= n
	}
	return result
}
