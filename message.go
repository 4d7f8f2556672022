package rohrpost

import (
	"github.com/rohrpost/rohrpost/internal/wire"
)

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
func (m Message) encode(group string) ([]byte, error) {
	w := (*wire.Message)(&m)
	if w.Empty() {
		return nil, errEmptyMessage
	}
	return w.Encode(group)
}
