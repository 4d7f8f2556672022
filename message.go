package rohrpost

import "fmt"

// Message is what a handler or a program sends on its own account. What is
// absent is not sent; zero values other than the absent ones are, 0, false and
// json.RawMessage("null") included. A Message with nothing in it is an error.
type Message struct {
	// ID encodes to a string, a number or a boolean of at most 128 bytes.
	// Defaults to a random integer from 2^52 to 2^53, which JavaScript holds
	// exactly and which no counter and no clock of a page meets.
	ID any

	// Type says what the message is. Defaults to none.
	Type string

	// Data is anything that encodes to JSON. A json.RawMessage is checked and
	// sent byte for byte. Defaults to none.
	Data any

	// Error is the text of an error. Defaults to none.
	Error string
}

func (m Message) empty() bool {
	return absent(m.ID) && m.Type == "" && m.Error == "" && absent(m.Data)
}

// encode returns the frame of m.
func (m Message) encode() ([]byte, error) {
	if m.empty() {
		return nil, errEmptyMessage
	}
	e := envelope{err: m.Error}
	var err error
	if e.id, err = encodeID(m.ID); err != nil {
		return nil, fmt.Errorf("id of message: %w", err)
	}
	if e.data, err = encodeOptional(m.Data); err != nil {
		return nil, fmt.Errorf("data of message: %w", err)
	}
	if m.Type != "" {
		e.typ = encodeString(m.Type)
	}
	return e.encode(), nil
}
