package wire

// Overlap returns a name that two patterns match. It is false if there is none.
func Overlap(p, q Pattern) (name string, found bool) {
	steps, others := p.steps(), q.steps()
	start := place{}
	came := map[place]arrival{start: {}}
	for next := []place{start}; len(next) > 0; {
		at := next[0]
		next = next[1:]
		if at.step == len(steps) && at.other == len(others) {
			return nameTo(at, came), true
		}
		visit := func(to place, c byte) {
			if _, been := came[to]; !been {
				came[to] = arrival{at, c}
				next = append(next, to)
			}
		}
		if at.step < len(steps) && steps[at.step].optional {
			visit(place{at.step + 1, at.other}, 0)
		}
		if at.other < len(others) && others[at.other].optional {
			visit(place{at.step, at.other + 1}, 0)
		}
		if at.step == len(steps) || at.other == len(others) {
			continue
		}
		s, o := steps[at.step], others[at.other]
		c, ok := common(s, o)
		if !ok {
			continue
		}
		visit(place{at.step + 1, at.other + 1}, c)
		if s.repeats {
			visit(place{at.step, at.other + 1}, c)
		}
		if o.repeats {
			visit(place{at.step + 1, at.other}, c)
		}
	}
	return "", false
}

// step matches one byte of a name.
type step struct {
	matches  func(c byte) bool
	repeats  bool // it also matches several
	optional bool // it also matches none
}

// place is how far a name has come in two patterns, and arrival how it has come there: by
// a byte, which is zero where it took none.
type (
	place   struct{ step, other int }
	arrival struct {
		from place
		c    byte
	}
)

// steps returns what the names of a pattern consist of. It allows numbers with leading
// zeros, and those of more than 64 bits.
func (p Pattern) steps() (steps []step) {
	for i, literal := range p.literals {
		if i > 0 {
			steps = append(steps, p.placeholders[i-1].kind.steps()...)
		}
		for j := range len(literal) {
			steps = append(steps, stepOf(literal[j]))
		}
	}
	return steps
}

func (k kind) steps() []step {
	switch k {
	case integer:
		sign := stepOf('-')
		sign.optional = true
		return []step{sign, {matches: isDigit, repeats: true}}
	case uuid:
		steps := make([]step, uuidBytes)
		for i := range steps {
			steps[i].matches = func(c byte) bool { return isDigit(c) || 'a' <= c && c <= 'f' }
		}
		for _, i := range []int{8, 13, 18, 23} {
			steps[i] = stepOf('-')
		}
		return steps
	}
	return []step{{matches: groupByte, repeats: true}}
}

func stepOf(c byte) step { return step{matches: func(other byte) bool { return other == c }} }

// common returns a byte that two steps match.
func common(a, b step) (byte, bool) {
	for _, c := range []byte("abcdefghijklmnopqrstuvwxyz1234567890-_.:ABCDEFGHIJKLMNOPQRSTUVWXYZ~") {
		if a.matches(c) && b.matches(c) {
			return c, true
		}
	}
	return 0, false
}

// nameTo returns the bytes by which a name has come to a place.
func nameTo(at place, came map[place]arrival) string {
	var name []byte
	for at != (place{}) {
		a := came[at]
		if a.c != 0 {
			name = append([]byte{a.c}, name...)
		}
		at = a.from
	}
	return string(name)
}
