package wire

import "fmt"

// Message is rohrpost.Message.
type Message struct {
	ID    any
	Type  string
	Data  any
	Error string
}

// Empty reports whether the message has nothing in it.
func (m *Message) Empty() bool {
	return absent(m.ID) && m.Type == "" && m.Error == "" && absent(m.Data)
}

// Encode returns the JSON of the message.
func (m *Message) Encode() ([]byte, error) {
	e := Envelope{Error: m.Error}
	var err error
	if e.ID, err = EncodeID(m.ID); err != nil {
		return nil, fmt.Errorf("id of message: %w", err)
	}
	if e.Data, err = EncodeOptional(m.Data); err != nil {
		return nil, fmt.Errorf("data of message: %w", err)
	}
	if m.Type != "" {
		e.Type = EncodeString(m.Type)
	}
	return e.Encode(), nil
}
