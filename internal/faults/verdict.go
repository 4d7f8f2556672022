package faults

// Verdict is what has become of the changes that a page had to learn of.
type Verdict struct {
	Expected   int // changes that pages had to learn of
	Delivered  int // of these, those that came as messages
	Loaded     int // of these, those that came by loading the state after a signal
	Silent     int // missing, and nobody has said so
	Duplicates int
	Misordered int
	Phantoms   int // messages about what is not there
	BadOffsets int // offsets that are not the next one
	Recovered  int
	Anew       map[string]int // replies with recovered:false, by reason
	Resyncs    map[string]int // by reason
	Problems   []string       // the first few, in words
}

// Wrong reports whether anything has happened that never may.
func (v *Verdict) Wrong() bool {
	return v.Silent+v.Duplicates+v.Misordered+v.Phantoms+v.BadOffsets > 0
}

// Signals is how often a page was told that it may have missed something.
func (v *Verdict) Signals() int {
	n := 0
	for _, count := range v.Anew {
		n += count
	}
	for _, count := range v.Resyncs {
		n += count
	}
	return n
}

// Add adds the figures of another verdict.
func (v *Verdict) Add(o Verdict) {
	v.Expected += o.Expected
	v.Delivered += o.Delivered
	v.Loaded += o.Loaded
	v.Silent += o.Silent
	v.Duplicates += o.Duplicates
	v.Misordered += o.Misordered
	v.Phantoms += o.Phantoms
	v.BadOffsets += o.BadOffsets
	v.Recovered += o.Recovered
	tally(&v.Anew, o.Anew)
	tally(&v.Resyncs, o.Resyncs)
	v.Problems = append(v.Problems, o.Problems...)
	v.Problems = v.Problems[:min(len(v.Problems), 20)]
}

// tally adds counts to others.
func tally(to *map[string]int, from map[string]int) {
	for reason, n := range from {
		if *to == nil {
			*to = map[string]int{}
		}
		(*to)[reason] += n
	}
}
