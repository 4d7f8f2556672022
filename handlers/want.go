package handlers

import (
	"encoding/json"
	"errors"
	"strings"
)

// Want is what a subscribe request asks for besides to get what is sent to the
// group.
type Want struct {
	Since *Position // what was sent after it; nil: nothing
	State bool      // the state of the group, unless Since can be served
}

// Position is a place in the history of a group.
type Position struct {
	Epoch  string
	Offset uint64
}

// WantOf reads the keys "since" and "snapshot" of the data of a subscribe request, and
// says what is wrong with them. Other keys, and data that is no object, belong to who
// maps it to a group.
func WantOf(data json.RawMessage) (want Want, problem string) {
	fields, err := fieldsOf(data)
	if err != nil {
		return want, ""
	}
	if raw, given := fields["since"]; given {
		if want.Since, err = positionOf(raw); err != nil {
			return want, `Field 'since' must be {"epoch": string, "offset": integer}.`
		}
	}
	if raw, given := fields["snapshot"]; given && json.Unmarshal(raw, &want.State) != nil {
		return want, "Field 'snapshot' must be true or false."
	}
	return want, ""
}

// positionOf is strict: a position comes from a server, and goes back as it came.
func positionOf(raw json.RawMessage) (*Position, error) {
	fields, err := fieldsOf(raw)
	if err != nil {
		return nil, err
	}
	p := &Position{}
	if p.Epoch, err = text(fields["epoch"]); err != nil {
		return nil, err
	}
	offset := fields["offset"]
	if len(fields) != 2 || len(p.Epoch) > maxEpoch || strings.Trim(string(offset), "0123456789") != "" {
		return nil, errors.New("not a position")
	}
	return p, json.Unmarshal(offset, &p.Offset)
}

// maxEpoch is the longest epoch in bytes.
const maxEpoch = 128
