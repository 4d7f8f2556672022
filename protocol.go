package rohrpost

import "github.com/rohrpost/rohrpost/internal/wire"

// Message is a message that a handler or a program sends on its own account. Absent
// fields are not sent. A zero value that is present is sent: 0, false and
// json.RawMessage("null"), for example. A Message without any field is an error.
type Message struct {
	// ID encodes to a string, a number or a boolean of at most 128 bytes.
	// Defaults to a random integer from 2^52 to 2^53: JavaScript holds it exactly, and
	// it equals no counter and no clock of a page.
	ID any

	// Type names the kind of message. Defaults to none.
	Type string

	// Data is anything that encodes to JSON. A json.RawMessage is checked and sent byte
	// for byte. Defaults to none.
	Data any

	// Error is the text of an error. Defaults to none.
	Error string
}

// encode returns the JSON of the message to a group, or to a connection if group is "".
func (m Message) encode(group, origin string) ([]byte, error) {
	w := (*wire.Message)(&m)
	if w.Empty() {
		return nil, errEmptyMessage
	}
	return w.Encode(group, origin)
}

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
	// that has missed messages of its broker, "view" for a client that gets another view
	// of the group from now on.
	Resync = wire.Resync
)

// Change tells the members of one group what happened to one row. It reaches them
// as a message of type "subscription-update".
type Change struct {
	// Group is the name of the group, [A-Za-z0-9_.:~-]{1,200}. With the type Resync it
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

	// Partial means that the object of an update holds only some of the keys that the
	// object of a create has, and the client is to keep the others. Defaults to false.
	Partial bool

	// Origin is the id of the page that made the change, after a "!" if the page need not
	// be told. Defaults to that of WithOrigin in the context.
	Origin string

	// View is the view of the group that gets the change, one of those of Hub.AllowViews.
	// Defaults to "", all views.
	View string
}
