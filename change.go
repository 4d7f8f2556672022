package rohrpost

import "github.com/rohrpost/rohrpost/internal/wire"

// The types of a Change.
const (
	Create = wire.Create // "create": the row was created, or came into the group
	Update = wire.Update // "update": the row was updated
	Delete = wire.Delete // "delete": the row was deleted, or left the group

	// Resync, "resync", tells a group that its snapshot may be stale and must be loaded
	// again. The object of the change has the key "reason": "commit" for a COMMIT whose
	// outcome is unknown, "rows" for too many changes, "unknown" for a statement whose
	// rows cannot be known, "size" for a change that is too large, "overflow" for more
	// changes than the hub can deliver, "late" for a change that was captured before the
	// group had members and committed after, "trimmed", "epoch" or "broker" for a hub
	// that has missed messages of its broker.
	Resync = wire.Resync
)

// Change tells the members of one group what happened to one row. It reaches them
// as a message of type "subscription-update".
type Change struct {
	// Group is the name of the group, [A-Za-z0-9_.:-]{1,200}. With the type Resync it
	// may also be a pattern as Hub.Allow takes it: the change is then for all groups
	// that match the pattern and have members. Required.
	Group string

	// Type is Create, Update, Delete or Resync. Required.
	Type string

	// Object is the row as the client gets to see it: anything that encodes to JSON. A
	// json.RawMessage is sent as it is. Defaults to null.
	Object any

	// UpdatedFields are the columns that were written, where they are known. The message
	// carries them beside the object and also inside it, unless the object has a key
	// "updated_fields" of its own; Object itself is never changed. Defaults to none.
	UpdatedFields []string
}
