package rohrpost

import (
	"slices"

	"github.com/rohrpost/rohrpost/internal/wire"
)

// nothing is the net effect of a row that came and went.
const nothing operation = -1

// held waits in a transaction for its COMMIT: a change, or a function to call.
type held struct {
	change wire.Change
	op     operation
	model  *model // nil for a change that a program made itself
	key    string
	run    func()
}

// limit is the most changes of the group in one commit.
func (h held) limit() int {
	if h.model == nil || h.op == nothing || h.model.tags[h.op] == nil {
		return defaultRows
	}
	return h.model.tags[h.op].rows
}

func changesIn(waiting []held) []wire.Change {
	changes := make([]wire.Change, len(waiting))
	for i := range waiting {
		changes[i] = waiting[i].change
	}
	return changes
}

func (h held) modelName() string {
	if h.model == nil {
		return ""
	}
	return h.model.name
}

// hold lets something wait. Above maxRows changes the transaction keeps no
// change any more, only which groups they can be for: its memory is bounded.
func (t *transaction) hold(waiting ...held) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, h := range waiting {
		switch {
		case h.run != nil:
			t.waiting = append(t.waiting, h)
		case t.flooded != nil:
			t.flood(h)
		default:
			if t.netted != nil && h.model != nil {
				t.netted[netKey{h.model, h.key, h.change.Group}] = len(t.waiting)
			}
			t.waiting = append(t.waiting, h)
			if t.changes++; t.changes > maxRows {
				t.keepFunctions()
			}
		}
	}
}

// expect makes room for so many changes more.
func (t *transaction) expect(count int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting = slices.Grow(t.waiting, count)
}

// stale lets a "resync" wait for every group of the model.
func (t *transaction) stale(m *model, reason string) {
	for _, pattern := range m.patterns() {
		t.hold(held{change: wire.NewResync(pattern, reason), model: m})
	}
}

// keepFunctions forgets the changes, and keeps the functions in their savepoints.
func (t *transaction) keepFunctions() {
	t.flooded = []string{}
	kept := []held{}
	depths := make([]int, 0, len(t.waiting)+1)
	for _, h := range t.waiting {
		depths = append(depths, len(kept))
		if h.run != nil {
			kept = append(kept, h)
		} else {
			t.flood(h)
		}
	}
	depths = append(depths, len(kept))
	for i := range t.marks {
		t.marks[i].depth = depths[t.marks[i].depth]
	}
	t.waiting, t.netted = kept, nil
	t.rewind(0)
}

// flood notes the groups that the change may be for.
func (t *transaction) flood(h held) {
	patterns := []string{wire.AnyGroup}
	if h.model != nil {
		patterns = h.model.patterns()
	}
	for _, pattern := range patterns {
		if !slices.Contains(t.flooded, pattern) {
			t.flooded = append(t.flooded, pattern)
		}
	}
}

// isFlooded reports whether the transaction needs to know no more rows of a model.
func (t *transaction) isFlooded() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.flooded != nil
}

// truncate forgets what was held since a savepoint.
func (t *transaction) truncate(depth int) {
	clear(t.waiting[depth:])
	t.rewind(depth)
	t.waiting, t.netted, t.changes = t.waiting[:depth], nil, 0
	for _, h := range t.waiting {
		if h.run == nil {
			t.changes++
		}
	}
}

// take removes all that waits.
func (t *transaction) take() []held {
	t.mu.Lock()
	defer t.mu.Unlock()
	waiting := t.all()
	t.waiting, t.marks, t.netted, t.flooded, t.changes = nil, nil, nil, nil, 0
	return waiting
}

// all is what waits, and who is told of what was not kept.
func (t *transaction) all() []held {
	waiting := t.waiting
	for _, pattern := range t.flooded {
		waiting = append(waiting, held{change: wire.NewResync(pattern, "rows")})
	}
	return waiting
}

// rewind lets recordings see what is held from there on.
func (t *transaction) rewind(depth int) {
	for _, r := range t.recordings {
		r.from = min(r.from, depth)
	}
}

// bounded replaces the changes of a group that is told too much by one resync,
// at the place of the first. A resync is told once.
func bounded(waiting []held) []held {
	least, resynced := defaultRows, false
	for _, h := range waiting {
		least = min(least, h.limit())
		resynced = resynced || h.change.Type == Resync
	}
	if len(waiting) <= least && (len(waiting) == 1 || !resynced) {
		return waiting
	}
	limits, counts := map[string]int{}, map[string]int{}
	for _, h := range waiting {
		group := h.change.Group
		if h.run == nil && h.change.Type != Resync {
			counts[group]++
			if limit, known := limits[group]; !known || h.limit() < limit {
				limits[group] = h.limit()
			}
		}
	}
	for group, limit := range limits {
		resynced = resynced || counts[group] > limit
	}
	if !resynced {
		return waiting
	}
	told := map[string]bool{}
	kept := waiting[:0]
	for _, h := range waiting {
		if counts[h.change.Group] > limits[h.change.Group] && h.change.Type != Resync {
			h.change = wire.NewResync(h.change.Group, "rows")
		}
		if h.run == nil && h.change.Type == Resync {
			if told[h.change.Group] {
				continue
			}
			told[h.change.Group] = true
		}
		kept = append(kept, h)
	}
	return kept
}

// resyncs replaces changes by one "resync" for each of their groups: right
// whether they are there or not. Functions are dropped.
func resyncs(waiting []held) []held {
	var groups []held
	told := map[string]bool{}
	for _, h := range waiting {
		if h.run != nil || told[h.change.Group] {
			continue
		}
		told[h.change.Group] = true
		groups = append(groups, held{change: wire.NewResync(h.change.Group, "commit"), model: h.model, key: h.key})
	}
	return groups
}
