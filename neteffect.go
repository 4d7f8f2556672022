package rohrpost

import "slices"

// netKey is one row as one group sees it.
type netKey struct {
	model      *model
	key, group string
}

// net returns what the row's changes in the transaction come to, with one more:
// savepoints stay simple when each held change tells the whole story so far.
func (t *transaction) net(key netKey, op operation, fields []string) (operation, []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.netted == nil {
		t.netted = map[netKey]int{}
		for i, h := range t.waiting {
			if h.isNet() {
				t.netted[netKey{h.model, h.key, h.change.Group}] = i
			}
		}
	}
	at, known := t.netted[key]
	if !known {
		return op, fields
	}
	return compose(t.waiting[at].op, t.waiting[at].change.UpdatedFields, op, fields)
}

func compose(was operation, set []string, op operation, fields []string) (operation, []string) {
	switch {
	case was == creating && op == updating:
		return creating, nil
	case was == creating && op == deleting:
		return nothing, nil
	case was == updating && op == updating:
		return updating, union(set, fields)
	case was == deleting && op == creating:
		return updating, nil
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
// first, and none where it comes to nothing.
func netEffect(waiting []held) []held {
	last := map[netKey]held{}
	for _, h := range waiting {
		if h.isNet() {
			last[netKey{h.model, h.key, h.change.Group}] = h
		}
	}
	kept := waiting[:0]
	for _, h := range waiting {
		if !h.isNet() {
			kept = append(kept, h)
			continue
		}
		key := netKey{h.model, h.key, h.change.Group}
		net, first := last[key]
		delete(last, key)
		if first && net.op != nothing && !net.model.folded[net.op] {
			kept = append(kept, net)
		}
	}
	return kept
}

// isNet reports whether the change is of one row of a model.
func (h held) isNet() bool { return h.run == nil && h.model != nil && h.change.Type != Resync }
