package notify

import (
	"context"
	"slices"
	"sync"

	"github.com/rohrpost/rohrpost/internal/capture"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// Recording lets a test see what is published. Its methods may be called concurrently.
type Recording struct {
	notifier *Notifier
	wants    func(context.Context) bool
	tx       *Tx // nil: of a whole handle

	from int // the place of the first entry of tx that counts; guarded by tx

	mu        sync.Mutex // guards what follows; may be taken while tx is locked
	finished  bool
	expected  []wire.Change // what was published, or would have been without a rollback
	published []wire.Change
}

// Record starts a recording of a transaction: of what it publishes or would publish.
// Without a transaction it is of all that is published under a context that wants
// accepts.
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

// Sent returns what was published or, in a transaction, what a COMMIT now would
// publish; after a rollback what it would have before.
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
	return r.changes(r.tx.all())
}

// Published returns what was really published.
func (r *Recording) Published() []wire.Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.published)
}

// Reset forgets what was recorded.
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

// changes returns those of the entries that count, as a COMMIT would publish them.
func (r *Recording) changes(entries []txEntry) []wire.Change {
	counted := slices.DeleteFunc(slices.Clone(entries), func(e txEntry) bool { return e.place < r.from })
	composed := slices.DeleteFunc(compose(counted, r.notifier.config.NetEffect), func(e txEntry) bool { return e.call != nil })
	return readable(changesIn(composed))
}

// finish records the end of the transaction.
func (r *Recording) finish(entries []txEntry, published bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.finished, r.expected = true, r.changes(entries)
	if published {
		r.published = r.expected
	}
}

// record lets tests see what is published.
func (n *Notifier) record(ctx context.Context, changes []wire.Change) {
	n.recordings.Range(func(r, _ any) bool {
		if r := r.(*Recording); r.wants(ctx) {
			r.mu.Lock()
			r.published = append(r.published, readable(slices.Clone(changes))...)
			r.mu.Unlock()
		}
		return true
	})
}

// readable turns the objects of changes into what a test can read.
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
