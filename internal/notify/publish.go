package notify

import (
	"context"
	"slices"

	"github.com/rohrpost/rohrpost/internal/capture"
	"github.com/rohrpost/rohrpost/internal/panics"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// End implements capture.Transaction. It records the changes for tests, composes them,
// and after a COMMIT publishes them together, unless they are stored. It recovers a panic of
// the hub.
func (t *Tx) End(o capture.Outcome) {
	t.mu.Lock()
	entries := t.all()
	t.entries, t.netted, t.overflow, t.changes = nil, nil, nil, 0
	stored, late := t.stored > 0, t.next > t.stored
	if o == capture.InDoubt && !stored {
		entries = resyncsOf(entries, wire.ReasonCommit)
	}
	for _, r := range t.recordings {
		r.finish(entries, o != capture.RolledBack)
	}
	t.mu.Unlock()
	if o == capture.RolledBack {
		return
	}
	entries, t.calls = splitCalls(entries)
	entries = compose(entries, t.notifier.config.NetEffect)
	if stored {
		t.endStored(entries, o, late)
		return
	}
	t.published = entries
	t.publish(t.published)
}

// Finish implements capture.Transaction. It calls the functions of AfterCommit. It
// recovers a panic of a function.
func (t *Tx) Finish(overtaken bool) {
	published, calls := t.published, t.calls
	t.published, t.calls = nil, nil
	if overtaken {
		t.publish(resyncsOf(published, wire.ReasonOrder))
	}
	for _, call := range calls {
		t.notifier.call(call)
	}
}

// splitCalls separates the functions from the changes. It reuses the memory of the
// entries.
func splitCalls(entries []txEntry) (changes []txEntry, calls []func()) {
	if !slices.ContainsFunc(entries, func(e txEntry) bool { return e.call != nil }) {
		return entries, nil
	}
	changes = entries[:0]
	for _, e := range entries {
		if e.call != nil {
			calls = append(calls, e.call)
		} else {
			changes = append(changes, e)
		}
	}
	return changes, calls
}

// publish hands changes to the hub.
func (t *Tx) publish(entries []txEntry) {
	if len(entries) == 0 {
		return
	}
	n := t.notifier
	err := n.tryPublish(t.ctx, appendChanges(t.oneChange[:0], entries))
	if err == nil {
		return
	}
	n.config.Skipped.Add(uint64(len(entries)))
	name := ""
	if m := entries[0].model; m != nil {
		name = m.table.Name
	}
	n.config.Log.Error("rohrpost: changes were not published", "model", name, "key", entries[0].key, "changes", len(entries), "error", err)
}

func (n *Notifier) tryPublish(ctx context.Context, changes []wire.Change) (err error) {
	defer panics.Recover(&err)
	n.addToRecordings(ctx, changes)
	return n.config.Publish(changes)
}

func (n *Notifier) call(fn func()) {
	if err := panics.Guard(func() error { fn(); return nil }); err != nil {
		n.config.Log.Error("rohrpost: a function after commit failed", "error", err)
	}
}
