package rohrpost

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/rohrpost/rohrpost/internal/wire"
	"gorm.io/gorm"
	"gorm.io/gorm/schema"
)

// Record lets a test see what is published. It is for package rohrposttest, which
// knows the methods of what it returns. On a handle in a transaction that is what
// this transaction publishes or would publish, on any other what is published
// under a context that wants accepts.
func (p *plugin) Record(db *gorm.DB, wants func(context.Context) bool) (any, error) {
	tx, err := transactionOf(db.Statement.ConnPool)
	if err != nil {
		return nil, err
	}
	r := &recording{plugin: p, wants: wants, tx: tx}
	if tx == nil {
		p.recordings.Store(r, struct{}{})
		return r, nil
	}
	tx.mu.Lock()
	defer tx.mu.Unlock()
	tx.recordings = append(tx.recordings, r)
	return r, nil
}

// Announced returns the message types of which changes of the model are
// announced. It is for package rohrposttest.
func (p *plugin) Announced(s *schema.Schema) ([]string, error) {
	m, err := newModel(s, p.config)
	if m == nil {
		return nil, errors.Join(err, errors.New("the model has no marker"))
	}
	var types []string
	for op, name := range writes {
		if m.announces(operation(op)) && !m.folded[op] {
			types = append(types, name)
		}
	}
	return types, nil
}

// recording is what a test gets to see.
type recording struct {
	plugin *plugin
	wants  func(context.Context) bool
	tx     *transaction // nil: of a whole handle

	from int // what of tx counts; guarded by tx

	mu        sync.Mutex // guards what follows; may be taken while tx is locked
	ended     bool
	expected  []Change // what was published, or would have been without a rollback
	published []Change
}

// Sent returns what was published or, in a transaction, what a COMMIT now would
// publish; after a rollback what it would have before.
func (r *recording) Sent() []Change {
	if r.tx == nil {
		return r.Published()
	}
	r.tx.mu.Lock()
	defer r.tx.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return slices.Clone(r.expected)
	}
	return r.outcome(r.tx.all())
}

// Published returns what was really published.
func (r *recording) Published() []Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.published)
}

// Reset forgets what was recorded.
func (r *recording) Reset() {
	if r.tx != nil {
		r.tx.mu.Lock()
		r.from = len(r.tx.waiting)
		r.tx.mu.Unlock()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expected, r.published = nil, nil
}

// Stop ends the recording.
func (r *recording) Stop() {
	if r.tx == nil {
		r.plugin.recordings.Delete(r)
		return
	}
	r.tx.mu.Lock()
	defer r.tx.mu.Unlock()
	r.tx.recordings = slices.DeleteFunc(r.tx.recordings, func(other *recording) bool { return other == r })
}

// outcome is what of these changes counts and would be published.
func (r *recording) outcome(waiting []held) []Change {
	waiting = r.plugin.outcome(slices.Clone(waiting[min(r.from, len(waiting)):]))
	waiting = slices.DeleteFunc(waiting, func(h held) bool { return h.run != nil })
	return asChanges(changesIn(waiting))
}

// asChanges returns the changes as a test gets to see them.
func asChanges(changes []wire.Change) []Change {
	all := make([]Change, len(changes))
	for i, change := range changes {
		switch object := change.Object.(type) {
		case wire.Object:
			change.Object = object.JSON()
		case wire.Unrendered:
			change.Object = nil
		}
		all[i] = Change(change)
	}
	return all
}

// end records the end of the transaction.
func (r *recording) end(waiting []held, published bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended, r.expected = true, r.outcome(waiting)
	if published {
		r.published = r.expected
	}
}

// show records what is published.
func (p *plugin) show(ctx context.Context, changes []wire.Change) {
	p.recordings.Range(func(r, _ any) bool {
		if r := r.(*recording); r.wants(ctx) {
			r.mu.Lock()
			r.published = append(r.published, asChanges(changes)...)
			r.mu.Unlock()
		}
		return true
	})
}

// recorded reports whether a test looks at the handle.
func (p *plugin) recorded() (is bool) {
	p.recordings.Range(func(any, any) bool {
		is = true
		return false
	})
	return is
}

// recorded reports whether a test looks at the transaction.
func (t *transaction) recorded() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.recordings) > 0
}

// record tells the tests that look at the transaction how it ended.
func (t *transaction) record(waiting []held, published bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.recordings {
		r.end(waiting, published)
	}
}
