package handlers

import "encoding/json"

// Group is what subscribe and unsubscribe reply: the name of the group as the
// messages to it will carry it and, for subscribe, where its history is and what of
// it follows.
type Group struct {
	Name   string  `json:"group"`
	Epoch  string  `json:"epoch,omitempty"`  // without it there is no history
	Offset *uint64 `json:"offset,omitempty"` // of the latest message that it is told, or has in the state

	Recovered *bool  `json:"recovered,omitempty"` // whether all that was missed follows; absent if nothing was asked for
	Missed    *int   `json:"missed,omitempty"`    // how many messages that are
	Reason    string `json:"reason,omitempty"`    // why it does not: see the Reasons

	State json.RawMessage `json:"snapshot,omitempty"`
}

// Reasons why what was missed does not follow.
const (
	ReasonEpoch   = "epoch"   // the history is another one
	ReasonTrimmed = "trimmed" // the history does not go back so far
	ReasonTooFar  = "too_far" // it is too much
	ReasonOff     = "off"     // there is no history
)
