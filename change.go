package rohrpost

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Change is what happened to one row, for the members of one group. It reaches
// them as a message of type "subscription-update".
type Change struct {
	// Group is the name of the group, [A-Za-z0-9_.:-]{1,200}. With the type
	// Resync it may also be a pattern as Hub.Allow takes it, for all groups that
	// it matches and that have members. Required.
	Group string

	// Type is Create, Update, Delete or Resync. Required.
	Type string

	// Object is the row as the page gets to see it: anything that encodes to
	// JSON, a json.RawMessage as it is. Defaults to null.
	Object any

	// UpdatedFields are the columns that were written, when they are known.
	// They are sent beside the object and also set inside it, unless it has a
	// key "updated_fields" of its own; Object itself is never changed.
	// Defaults to none.
	UpdatedFields []string
}

// check reports what can be seen without encoding anything.
func (ch Change) check() error {
	if !validGroup(ch.Group) && !ch.hasPattern() {
		return fmt.Errorf("change: malformed group name %.250q", ch.Group)
	}
	if ch.Type == "" {
		return errors.New("change: no type")
	}
	return nil
}

// hasPattern reports whether ch is for all groups that match a pattern.
func (ch Change) hasPattern() bool {
	if ch.Type != Resync || !strings.Contains(ch.Group, "{") {
		return false
	}
	_, err := parsePattern(ch.Group)
	return err == nil
}

// newResync is the change that says: your state may be stale, load it again.
func newResync(group, reason string) Change {
	return Change{Group: group, Type: Resync, Object: resyncReason{reason}}
}

// notMade is the object of a change that nobody listened to when it was made. Who
// listens now has come in between.
type notMade struct{}

// resyncReason is the object of a resync: "commit" for one whose outcome is
// unknown, "rows" for too many changes, "unknown" for a statement whose rows
// cannot be told, "size" for a change that is too large,
// "flood" for more changes than the hub can hand out, "late" for a change that was
// made before anybody listened and committed after.
type resyncReason struct {
	Reason string `json:"reason"`
}

// encode returns the frame of ch.
func (ch Change) encode() ([]byte, error) {
	if err := ch.check(); err != nil {
		return nil, err
	}
	object, err := encodeValue(ch.Object)
	if err != nil {
		return nil, fmt.Errorf("object of change in %s: %w", ch.Group, err)
	}
	size := len(object) + len(ch.Type) + len(ch.Group) + 160
	for _, field := range ch.UpdatedFields {
		size += 2 * (len(field) + 3)
	}
	b := append(make([]byte, 0, size), `{"id":`...)
	b = appendUint(b, randomInteger())
	b = append(b, `,"type":"`+changeMessage+`","data":{"type":`...)
	b = appendString(b, ch.Type)
	b = append(b, `,"group":`...)
	b = appendString(b, ch.Group)
	b = append(b, `,"object":`...)
	if len(ch.UpdatedFields) == 0 {
		return append(append(b, object...), "}}"...), nil
	}
	if ch.lists(object) {
		b = append(b, trimSpace(object[:len(object)-1])...)
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = append(ch.appendFields(b), '}')
	} else {
		b = append(b, object...)
	}
	return append(ch.appendFields(append(b, ',')), "}}"...), nil
}

const updatedFields = "updated_fields"

// lists reports whether the updated fields are to stand in the object too: it has
// no such key of its own.
func (ch Change) lists(object json.RawMessage) bool {
	if object[0] != '{' {
		return false
	}
	if !bytes.Contains(object, []byte(updatedFields)) && !bytes.Contains(object, []byte{'\\'}) {
		return true
	}
	for key := range pairs(object) {
		if unquote(key) == updatedFields {
			return false
		}
	}
	return true
}

func (ch Change) appendFields(b []byte) []byte {
	b = append(b, `"`+updatedFields+`":[`...)
	for i, field := range ch.UpdatedFields {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, field)
	}
	return append(b, ']')
}
