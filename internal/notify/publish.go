package notify

import (
	"context"
	"slices"

	"github.com/rohrpost/rohrpost/internal/capture"
	"github.com/rohrpost/rohrpost/internal/panics"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// End implements capture.Transaction. It records the changes for tests, composes them,
// and after a COMMIT publishes them, with the functions of AfterCommit in between. It
// recovers a panic of the hub or of a function.
func (t *Tx) End(o capture.Outcome) {
	t.mu.Lock()
	entries := t.all()
	t.entries, t.netted, t.overflow, t.changes = nil, nil, nil, 0
	if o == capture.InDoubt {
		entries = inDoubt(entries)
	}
	for _, r := range t.recordings {
		r.finish(entries, o != capture.RolledBack)
	}
	t.mu.Unlock()
	if o == capture.RolledBack {
		return
	}
	for entries = compose(entries, t.notifier.config.NetEffect); len(entries) > 0; {
		if entries[0].call != nil {
			t.notifier.call(entries[0].call)
			entries = entries[1:]
			continue
		}
		count := slices.IndexFunc(entries, func(e txEntry) bool { return e.call != nil })
		if count < 0 {
			count = len(entries)
		}
		t.publish(entries[:count])
		entries = entries[count:]
	}
}

// publish hands changes to the hub.
func (t *Tx) publish(entries []txEntry) {
	n := t.notifier
	err := n.tryPublish(t.ctx, changesIn(entries))
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
