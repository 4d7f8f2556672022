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

// Encode returns the JSON of the message. A message to a group ends with the name of
// the group, and the origin if there is one; group is empty for one to a connection.
func (m *Message) Encode(group, origin string) ([]byte, error) {
	var e Envelope
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
	if m.Error != "" {
		e.Error = EncodeString(m.Error)
	}
	if group != "" {
		e.Group = EncodeString(group)
	}
	if origin != "" {
		e.Origin = EncodeString(origin)
	}
	return e.Encode(), nil
}
