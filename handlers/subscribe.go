package handlers

import (
	"encoding/json"
	"errors"
	"strings"
)

// Subscribe is what a subscribe request asks for, besides the group.
type Subscribe struct {
	Resume   bool   // replay the messages after the position
	Epoch    string // of the position
	Offset   uint64 // of the position
	Snapshot bool   // send the snapshot, unless a replay is possible
}

// ParseSubscribe reads the keys "since" and "snapshot" of the data of a subscribe
// request. The text of an error is meant for the client. ParseSubscribe ignores other
// keys, and data that is not an object: they belong to Config.GroupOf.
func ParseSubscribe(data json.RawMessage) (s Subscribe, err error) {
	fields, err := fieldsOf(data)
	if err != nil {
		return s, nil
	}
	if raw, given := fields["since"]; given {
		if s.Resume = true; s.parsePosition(raw) != nil {
			return s, refusal(`Field 'since' must be {"epoch": string, "offset": integer}.`)
		}
	}
	if raw, given := fields["snapshot"]; given && json.Unmarshal(raw, &s.Snapshot) != nil {
		return s, refusal("Field 'snapshot' must be true or false.")
	}
	return s, nil
}

// maxEpoch is the length of the longest epoch in bytes.
const maxEpoch = 128

// parsePosition is strict: a position comes from a hub, and goes back as it came.
func (s *Subscribe) parsePosition(raw json.RawMessage) error {
	fields, err := fieldsOf(raw)
	if err != nil {
		return err
	}
	if s.Epoch, err = text(fields["epoch"]); err != nil {
		return err
	}
	offset := fields["offset"]
	if len(fields) != 2 || len(s.Epoch) > maxEpoch || strings.Trim(string(offset), "0123456789") != "" {
		return errors.New("not a position")
	}
	return json.Unmarshal(offset, &s.Offset)
}

func refusal(text string) error { return errors.New(text) }

// SubscribeReply is the data of the reply to a subscribe or unsubscribe request. Only
// Group is set in that to unsubscribe. The hub appends the snapshot as the key
// "snapshot". Of the parts of a snapshot only the first one has the fields from Epoch to
// Reason.
type SubscribeReply struct {
	Group  string  `json:"group"`            // the name that its messages carry
	Epoch  string  `json:"epoch,omitempty"`  // of the position; absent without a history
	Offset *uint64 `json:"offset,omitempty"` // of the snapshot, or of the last replayed message

	Recovered *bool  `json:"recovered,omitempty"` // whether a replay follows; absent if the client asked for none
	Missed    *int   `json:"missed,omitempty"`    // the number of replayed messages
	Reason    string `json:"reason,omitempty"`    // why no replay follows: see doc/PROTOCOL.md

	Part int  `json:"part,omitempty"` // the number of this part of the snapshot, from 1; absent if it is whole
	Last bool `json:"last,omitempty"` // no part follows
}
