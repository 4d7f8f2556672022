package faults

// Record is one thing that a page has learnt of a group.
type Record struct {
	Kind      Kind
	Epoch     string
	Offset    int64   // -1: none
	N         int64   // of a change: which
	Rows      []int64 // of a load: what the group consists of
	Reason    string  // why there is a resync, or no recovery
	Missed    int64   // of a reply: how many messages follow it
	Recovered string  // of a reply: "true", "false" or "" if it does not say
}

// Kind is what a record is about.
type Kind int

const (
	Joined  Kind = iota // the reply to subscribe
	Changed             // a change
	Resync              // the state may be stale
	Loaded              // the page has loaded the state
	Ended               // the connection has ended
)
