package notify

import (
	"context"
	"slices"
	"sync"

	"github.com/rohrpost/rohrpost/internal/wire"
)

// maxChanges is how many changes a transaction keeps one by one.
const maxChanges = 10_000

// Tx holds the changes of one transaction until it ends. Its methods may be called
// concurrently.
type Tx struct {
	notifier *Notifier
	ctx      context.Context
	outbox   Outbox // nil: the changes are published

	mu       sync.Mutex // guards the fields below
	entries  []txEntry
	next     int // the place of the next entry
	stored   int // the place behind those that are stored
	changes  int // how many of the entries are changes
	netted   map[netKey]int
	overflow []string // patterns of the groups of changes that are not kept; nil: all are

	recordings []*Recording // of tests

	published []txEntry // by End, until Finish
	calls     []func()  // of AfterCommit, from End to Finish

	one       [1]txEntry // most transactions have one entry: no further allocation for it
	oneChange [1]wire.Change
}

// AfterCommit calls fn once the transaction has committed and its changes are published.
func (t *Tx) AfterCommit(fn func()) { t.add(txEntry{call: fn}) }

// Add adds changes that a program made itself. Their objects must be encoded.
func (t *Tx) Add(changes []wire.Change) {
	for _, change := range changes {
		t.add(txEntry{change: change})
	}
}

// Overflowed implements capture.Transaction.
func (t *Tx) Overflowed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.overflow != nil
}

// Mark implements capture.Transaction.
func (t *Tx) Mark() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.next
}

// RollBackTo implements capture.Transaction. The patterns in overflow stay, since the
// places of their changes are lost.
func (t *Tx) RollBackTo(mark int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	kept := len(t.entries)
	for kept > 0 && t.entries[kept-1].place >= mark {
		if kept--; t.entries[kept].call == nil {
			t.changes--
		}
	}
	clear(t.entries[kept:])
	t.entries, t.netted = t.entries[:kept], nil
}

// add lets an entry wait. Above maxChanges the transaction keeps no change any more,
// only which groups they can be for: its memory is bounded.
func (t *Tx) add(e txEntry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e.place = t.next
	t.next++
	if e.call == nil && t.overflow != nil {
		t.addOverflow(&e)
		return
	}
	if t.netted != nil && e.isNet() {
		t.netted[e.netKey()] = len(t.entries)
	}
	if t.entries == nil {
		t.entries = t.one[:0]
	}
	t.entries = append(t.entries, e)
	if e.call != nil {
		return
	}
	if t.changes++; t.changes > maxChanges {
		t.keepFunctions()
	}
}

// addResyncs lets a "resync" wait for every group of the model.
func (t *Tx) addResyncs(m *model, reason string) {
	for _, pattern := range m.patterns() {
		t.add(txEntry{change: wire.NewResync(pattern, reason), model: m})
	}
}

// reserve makes room for so many changes more.
func (t *Tx) reserve(count int) {
	if count < 2 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.entries = slices.Grow(t.entries, count)
}

// keepFunctions drops the changes.
func (t *Tx) keepFunctions() {
	t.overflow, t.netted = []string{}, nil
	var functions []txEntry
	for i := range t.entries {
		if t.entries[i].call == nil {
			t.addOverflow(&t.entries[i])
		} else {
			functions = append(functions, t.entries[i])
		}
	}
	t.entries = functions
}

// addOverflow notes the groups that a change may be for.
func (t *Tx) addOverflow(e *txEntry) {
	patterns := []string{wire.AnyGroup}
	if e.model != nil {
		patterns = e.model.patterns()
	}
	for _, pattern := range patterns {
		if !slices.Contains(t.overflow, pattern) {
			t.overflow = append(t.overflow, pattern)
		}
	}
}

// all returns the entries, and resyncs for the changes that were not kept. The caller
// holds mu.
func (t *Tx) all() []txEntry {
	entries := t.entries
	for _, pattern := range t.overflow {
		entries = append(entries, txEntry{change: wire.NewResync(pattern, wire.ReasonRows), place: t.next})
	}
	return entries
}

// needsPayload reports whether a client may get a change of the group, an outbox stores
// it, or a test records it. Otherwise no payload is made.
func (t *Tx) needsPayload(group string) bool {
	return t.outbox != nil || t.notifier.config.HasMembersOrHistory(group) || t.notifier.isRecorded() || t.isRecorded()
}
