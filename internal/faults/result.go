package faults

// Result counts what clients received, compared with what was committed.
type Result struct {
	Expected     int            // changes that the clients must learn of
	Delivered    int            // expected changes that arrived as messages
	Loaded       int            // expected changes that arrived only in a snapshot loaded on request
	Lost         int            // missing changes without a request to load a snapshot
	Duplicates   int            // changes that arrived again
	OutOfOrder   int            // changes that arrived after a later one
	Phantoms     int            // messages about changes that were never committed
	BadOffsets   int            // offsets that do not follow the previous one
	Recovered    int            // subscriptions that the server resumed
	NotRecovered map[string]int // replies with recovered:false, by reason
	Resyncs      map[string]int // by reason
	Problems     []string       // descriptions of the first problems
}

// Failed reports whether the result violates a guarantee.
func (r *Result) Failed() bool {
	return r.Lost+r.Duplicates+r.OutOfOrder+r.Phantoms+r.BadOffsets > 0
}

// ReloadRequests returns how often the server asked a client to load a snapshot.
func (r *Result) ReloadRequests() int {
	n := 0
	for _, count := range r.NotRecovered {
		n += count
	}
	for _, count := range r.Resyncs {
		n += count
	}
	return n
}

// Add adds the counts of another result and keeps the first 20 problems.
func (r *Result) Add(o Result) {
	r.Expected += o.Expected
	r.Delivered += o.Delivered
	r.Loaded += o.Loaded
	r.Lost += o.Lost
	r.Duplicates += o.Duplicates
	r.OutOfOrder += o.OutOfOrder
	r.Phantoms += o.Phantoms
	r.BadOffsets += o.BadOffsets
	r.Recovered += o.Recovered
	addCounts(&r.NotRecovered, o.NotRecovered)
	addCounts(&r.Resyncs, o.Resyncs)
	r.Problems = append(r.Problems, o.Problems...)
	r.Problems = r.Problems[:min(len(r.Problems), 20)]
}

func addCounts(to *map[string]int, from map[string]int) {
	for reason, n := range from {
		if *to == nil {
			*to = map[string]int{}
		}
		(*to)[reason] += n
	}
}
