package notify

import (
	"context"
	"slices"

	"github.com/rohrpost/rohrpost/internal/capture"
	"github.com/rohrpost/rohrpost/internal/wire"
	"gorm.io/gorm"
)

// Outbox is a capture.Store for the changes of commits. Its relays publish them. Its
// methods may be called concurrently.
type Outbox interface {
	capture.Store

	// Write stores changes in the transaction of a connection, or in one of its own if conn
	// is nil.
	Write(ctx context.Context, conn gorm.ConnPool, changes []wire.Change) error

	// Written is called when stored changes may have committed.
	Written()
}

// Store implements capture.Transaction.
func (t *Tx) Store(ctx context.Context, conn gorm.ConnPool, inDoubt bool) error {
	t.mu.Lock()
	entries := slices.Clone(t.all())
	from := t.stored
	t.stored = t.next
	t.mu.Unlock()
	entries = slices.DeleteFunc(entries, func(e txEntry) bool { return e.place < from })
	if inDoubt {
		entries = resyncsOf(entries, wire.ReasonCommit)
	}
	entries, _ = splitCalls(entries)
	entries = compose(entries, t.notifier.config.NetEffect)
	if len(entries) == 0 {
		return nil
	}
	if err := t.outbox.Write(ctx, conn, appendChanges(nil, entries)); err != nil {
		t.mu.Lock()
		t.stored = from
		t.mu.Unlock()
		return err
	}
	return nil
}

// endStored ends a transaction whose changes are stored. Those that another goroutine has
// added during COMMIT are stored behind it.
func (t *Tx) endStored(entries []txEntry, o capture.Outcome, late bool) {
	if o == capture.InDoubt {
		t.calls = nil
	}
	t.notifier.addToRecordings(t.ctx, appendChanges(nil, entries))
	if late {
		late := slices.DeleteFunc(slices.Clone(entries), func(e txEntry) bool { return e.place < t.stored })
		if err := t.outbox.Write(context.WithoutCancel(t.ctx), nil, appendChanges(nil, late)); err != nil {
			t.publish(late)
		}
	}
	t.outbox.Written()
}

// outboxOf returns the outbox that a Store is. It logs, once, that a database has none
// while another one that the plugin serves has.
func (n *Notifier) outboxOf(s capture.Store) Outbox {
	outbox, _ := s.(Outbox)
	switch {
	case outbox != nil && !n.hasOutbox.Load():
		n.hasOutbox.Store(true)
	case outbox == nil && n.hasOutbox.Load() && !n.warnedOutbox.Swap(true):
		n.config.Log.Warn("rohrpost: an outbox serves one database of the plugin, and none another one: its changes are lost if the process dies; call outbox.New with its handle, too")
	}
	return outbox
}
