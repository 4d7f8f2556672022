package notify

import "github.com/rohrpost/rohrpost/internal/wire"

// compose applies net effects and bounds to the entries of a transaction. It reuses
// their memory.
func compose(entries []txEntry, net bool) []txEntry {
	if net {
		entries = netEffect(entries)
	}
	return bounded(entries)
}

// bounded replaces the changes of a group that has too many by one resync, at the place
// of the first. It keeps one resync of each group. It reuses the memory of the entries.
func bounded(entries []txEntry) []txEntry {
	if isWithinBounds(entries) {
		return entries
	}
	limits, counts := map[string]int{}, map[string]int{}
	for i := range entries {
		e := &entries[i]
		group := e.change.Stream()
		if e.call != nil || e.isResync() {
			continue
		}
		counts[group]++
		if limit, known := limits[group]; !known || e.limit() < limit {
			limits[group] = e.limit()
		}
	}
	told := map[string]bool{}
	kept := entries[:0]
	for _, e := range entries {
		group := e.change.Stream()
		if e.call == nil && !e.isResync() && counts[group] > limits[group] {
			e.change = e.change.Resync(wire.ReasonRows)
		}
		if e.isResync() {
			if told[group] {
				continue
			}
			told[group] = true
		}
		kept = append(kept, e)
	}
	return kept
}

// isWithinBounds reports whether few changes and no two resyncs need no counting.
func isWithinBounds(entries []txEntry) bool {
	least, resyncs := defaultRows, 0
	for i := range entries {
		least = min(least, entries[i].limit())
		if entries[i].isResync() {
			resyncs++
		}
	}
	return len(entries) <= least && resyncs < 2
}

// resyncsOf replaces changes by one resync for each of their groups. It drops functions.
func resyncsOf(entries []txEntry, reason string) []txEntry {
	var resyncs []txEntry
	told := map[string]bool{}
	for i := range entries {
		e := &entries[i]
		if e.call != nil || told[e.change.Stream()] {
			continue
		}
		told[e.change.Stream()] = true
		resyncs = append(resyncs, txEntry{change: e.change.Resync(reason), model: e.model, key: e.key, place: e.place})
	}
	return resyncs
}
