package faults

// Event is an entry in a client's log of one group.
type Event struct {
	Kind      Kind
	Epoch     string  // of a Subscribed or Resync event; "" if the server sent none
	Offset    int64   // -1 if the server sent none
	Prev      int64   // the offset of the message before it; Offset-1 if the server sent none
	N         int64   // the number of the change, for a Changed event
	Rows      []int64 // the rows of the group, for a Loaded event
	Reason    string  // the reason for a resync or for a refused recovery
	Missed    int64   // the number of replayed messages that follow a Subscribed event
	Recovered string  // "true", "false" or, if the reply has no such field, ""
}

// Kind is the kind of an event.
type Kind int

const (
	Subscribed   Kind = iota // the server replied to a subscribe request
	Changed                  // a change arrived
	Resync                   // the client's data may be outdated
	Loaded                   // the client loaded a snapshot
	Disconnected             // the connection ended
)
