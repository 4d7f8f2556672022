package notify

import (
	"slices"

	"github.com/rohrpost/rohrpost/internal/capture"
)

// netOf composes two changes of one row.
func netOf(was capture.Operation, set []string, op capture.Operation, fields []string) (capture.Operation, []string) {
	switch {
	case was == capture.Create && op == capture.Update:
		return capture.Create, nil
	case was == capture.Create && op == capture.Delete:
		return nothing, nil
	case was == capture.Update && op == capture.Update:
		return capture.Update, union(set, fields)
	case was == capture.Delete && op == capture.Create:
		return capture.Update, nil
	}
	return op, fields
}

// union of two lists of fields; nil is "nothing known" and stays it.
func union(a, b []string) []string {
	if a == nil || b == nil {
		return nil
	}
	all := append([]string{}, a...)
	for _, field := range b {
		if !slices.Contains(all, field) {
			all = append(all, field)
		}
	}
	return all
}

// netEffect keeps of each row in each group the last change, at the place of the
// first, and none where it comes to nothing. It reuses the memory of the entries.
func netEffect(entries []txEntry) []txEntry {
	last := map[netKey]txEntry{}
	for i := range entries {
		if e := &entries[i]; e.isNet() {
			last[e.netKey()] = *e
		}
	}
	kept := entries[:0]
	for _, e := range entries {
		if !e.isNet() {
			kept = append(kept, e)
			continue
		}
		net, first := last[e.netKey()]
		delete(last, e.netKey())
		if first && net.op != nothing && !net.hidden && !net.model.netOnly[net.op] {
			kept = append(kept, net)
		}
	}
	return kept
}
