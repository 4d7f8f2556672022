package wire

// The reasons of a resync.
const (
	ReasonCommit   = "commit"   // the outcome of a COMMIT is unknown
	ReasonOrder    = "order"    // a change may have come after a later one of the same row
	ReasonRows     = "rows"     // a commit has too many changes
	ReasonUnknown  = "unknown"  // the rows of a statement cannot be known
	ReasonSize     = "size"     // a change is too large
	ReasonOverflow = "overflow" // there are more changes than the hub can deliver
	ReasonLate     = "late"     // the change was captured before the group had members
	ReasonBroker   = "broker"   // the hub cannot read what it has missed
	ReasonView     = "view"     // the client gets another view of the group from now on
)

// The reasons why a subscription gets no replay. The hub uses ReasonEpoch and
// ReasonTrimmed for a resync too, where it has missed messages of its broker itself.
const (
	ReasonEpoch   = "epoch"   // the position belongs to another history
	ReasonTrimmed = "trimmed" // the history does not go back to the position
	ReasonTooFar  = "too_far" // there are too many messages since the position
	ReasonOff     = "off"     // there is no history
	ReasonResync  = "resync"  // a resync of the group may have come since the position
	ReasonRevoked = "revoked" // the user had lost the group in the meantime
)
