package notify

import (
	"slices"

	"github.com/rohrpost/rohrpost/internal/capture"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// nothing is the net effect of a row that was created and deleted.
const nothing capture.Operation = -1

// txEntry waits for a COMMIT: a change, or a function to call.
type txEntry struct {
	change wire.Change
	op     capture.Operation
	model  *model // nil for a change that a program made itself
	key    string
	fields []string // that were updated, also those that the view does not get
	hidden bool     // from its view: it only counts for net effects
	call   func()
	place  int // grows from entry to entry
}

// netKey is one row as one group sees it, or one view of it.
type netKey struct {
	model       *model
	key, stream string
}

// appendChanges appends the changes of entries, none of which may be a function.
func appendChanges(changes []wire.Change, entries []txEntry) []wire.Change {
	changes = slices.Grow(changes, len(entries))
	for i := range entries {
		changes = append(changes, entries[i].change)
	}
	return changes
}

func (e *txEntry) netKey() netKey { return netKey{e.model, e.key, e.change.Stream()} }

// isNet reports whether the entry is a change of one row of a model.
func (e *txEntry) isNet() bool {
	return e.call == nil && e.model != nil && !e.isResync()
}

// isResync reports whether the entry tells a group to load its snapshot again.
func (e *txEntry) isResync() bool { return e.call == nil && e.change.Type == wire.Resync }

// limit returns the most changes of the entry's group in one commit.
func (e *txEntry) limit() int {
	if e.model == nil || e.op == nothing || e.model.tags[e.op] == nil {
		return defaultRows
	}
	return e.model.tags[e.op].rows
}
