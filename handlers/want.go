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

// WantOf reads the keys "since" and "state" of the data of a subscribe request;
// other keys, and data that is no object, belong to who maps it to a group.
func WantOf(data json.RawMessage) (want Want, err error) {
	fields, err := fieldsOf(data)
	if err != nil {
		return want, nil
	}
	if raw, given := fields["since"]; given {
		if want.Since, err = positionOf(raw); err != nil {
			return want, err
		}
	}
	if raw, given := fields["state"]; given && json.Unmarshal(raw, &want.State) != nil {
		return want, errors.New(`Field 'state' must be true or false.`)
	}
	return want, nil
}

// positionOf is strict: a position comes from a server, and goes back as it came.
func positionOf(raw json.RawMessage) (*Position, error) {
	wrong := errors.New(`Field 'since' must be {"epoch": string, "offset": integer}.`)
	fields, err := fieldsOf(raw)
	if err != nil || len(fields) != 2 {
		return nil, wrong
	}
	p := &Position{}
	if p.Epoch, err = text(fields["epoch"]); err != nil || len(p.Epoch) > maxEpoch {
		return nil, wrong
	}
	offset := fields["offset"]
	if len(offset) == 0 || strings.Trim(string(offset), "0123456789") != "" || json.Unmarshal(offset, &p.Offset) != nil {
		return nil, wrong
	}
	return p, nil
}

// maxEpoch is the longest epoch in bytes.
const maxEpoch = 128
