package notify

import (
	"context"
	"slices"
	"sync"

	"github.com/rohrpost/rohrpost/internal/capture"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// Recording records published changes for a test. Its methods may be called concurrently.
type Recording struct {
	notifier *Notifier
	wants    func(context.Context) bool
	tx       *Tx // nil: of a whole handle

	from int // the place of the first entry of tx that counts; guarded by tx

	mu        sync.Mutex // guards the fields below; may be locked while tx is locked
	finished  bool
	expected  []wire.Change // those published, or without a rollback those that would have been
	published []wire.Change
}

// Record starts a recording of the changes that a transaction publishes or would
// publish. With a nil transaction it records all changes that are published under a
// context that wants accepts.
func (n *Notifier) Record(tx capture.Transaction, wants func(context.Context) bool) *Recording {
	r := &Recording{notifier: n, wants: wants}
	if tx == nil {
		n.recordings.Store(r, struct{}{})
		return r
	}
	r.tx = tx.(*Tx) // Begin returns no other
	r.tx.mu.Lock()
	defer r.tx.mu.Unlock()
	r.tx.recordings = append(r.tx.recordings, r)
	return r
}

// Sent returns the published changes. In a transaction it returns those that a COMMIT
// now would publish, and after a rollback those that a COMMIT would have published.
func (r *Recording) Sent() []wire.Change {
	if r.tx == nil {
		return r.Published()
	}
	r.tx.mu.Lock()
	defer r.tx.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.finished {
		return slices.Clone(r.expected)
	}
	return r.composed(r.tx.all())
}

// Published returns the changes that were really published.
func (r *Recording) Published() []wire.Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.published)
}

// Reset drops the recorded changes.
func (r *Recording) Reset() {
	if r.tx != nil {
		r.tx.mu.Lock()
		r.from = r.tx.next
		r.tx.mu.Unlock()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expected, r.published = nil, nil
}

// Stop ends the recording.
func (r *Recording) Stop() {
	if r.tx == nil {
		r.notifier.recordings.Delete(r)
		return
	}
	r.tx.mu.Lock()
	defer r.tx.mu.Unlock()
	r.tx.recordings = slices.DeleteFunc(r.tx.recordings, func(other *Recording) bool { return other == r })
}

// composed returns those of the entries that count, as a COMMIT would publish them.
func (r *Recording) composed(entries []txEntry) []wire.Change {
	counted := slices.DeleteFunc(slices.Clone(entries), func(e txEntry) bool { return e.place < r.from })
	composed := slices.DeleteFunc(compose(counted, r.notifier.config.NetEffect), func(e txEntry) bool { return e.call != nil })
	return readable(appendChanges(nil, composed))
}

// finish records the end of the transaction.
func (r *Recording) finish(entries []txEntry, published bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.finished, r.expected = true, r.composed(entries)
	if published {
		r.published = r.expected
	}
}

// addToRecordings adds published changes to the recordings of handles.
func (n *Notifier) addToRecordings(ctx context.Context, changes []wire.Change) {
	n.recordings.Range(func(r, _ any) bool {
		if r := r.(*Recording); r.wants(ctx) {
			r.mu.Lock()
			r.published = append(r.published, readable(slices.Clone(changes))...)
			r.mu.Unlock()
		}
		return true
	})
}

// readable makes the objects of changes readable for a test.
func readable(changes []wire.Change) []wire.Change {
	for i := range changes {
		switch object := changes[i].Object.(type) {
		case wire.Object:
			changes[i].Object = object.JSON()
		case wire.Unrendered:
			changes[i].Object = nil
		}
	}
	return changes
}

// isRecorded reports whether a test looks at the handle.
func (n *Notifier) isRecorded() (is bool) {
	n.recordings.Range(func(any, any) bool {
		is = true
		return false
	})
	return is
}

// isRecorded reports whether a test looks at the transaction.
func (t *Tx) isRecorded() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.recordings) > 0
}
