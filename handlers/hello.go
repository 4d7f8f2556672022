package handlers

import (
	"encoding/json"
	"slices"
)

// Version is the version of the protocol that the hub speaks. Later versions only add
// keys.
const Version = 1

// Hello is the data of a hello request. ParseHello ignores other keys.
type Hello struct {
	Version int             // of the client's protocol
	Token   json.RawMessage // authenticates the client; nil: it has none
	Page    string          // a random id of the page that opened the connection
	Wants   []string        // what the hub may send besides the messages of a hub without hello
}

// ParseHello reads the data of a hello request. The text of an error is meant for the
// client.
func ParseHello(data json.RawMessage) (h Hello, err error) {
	fields, err := fieldsOf(data)
	if err != nil {
		return h, refusal("Field 'data' must be an object.")
	}
	if json.Unmarshal(fields["version"], &h.Version) != nil || h.Version < 1 {
		return h, refusal("Field 'version' must be a positive integer.")
	}
	if h.Token = fields["token"]; h.Token != nil && json.Unmarshal(h.Token, new(string)) != nil {
		return h, refusal("Field 'token' must be a string.")
	}
	if raw, given := fields["page"]; given && json.Unmarshal(raw, &h.Page) != nil {
		return h, refusal("Field 'page' must be a string.")
	}
	if raw, given := fields["wants"]; given && json.Unmarshal(raw, &h.Wants) != nil || slices.Contains(h.Wants, "") {
		return h, refusal("Field 'wants' must be a list of names.")
	}
	return h, nil
}

// HelloReply is the data of the reply to a hello request.
type HelloReply struct {
	Version    int         `json:"version"`
	Connection string      `json:"connection"`      // a random id of the connection
	Token      bool        `json:"token,omitempty"` // the hub takes a token in hello: requests need none
	Limits     HelloLimits `json:"limits"`
	ExpiresIn  *float64    `json:"expires_in,omitempty"` // seconds until the identity expires; absent if it never does
	Subtree    bool        `json:"subtree,omitempty"`    // the hub also answers at longer paths
}

// HelloLimits are the limits that a client must know. An absent one is none.
type HelloLimits struct {
	MaxMessageBytes *int64 `json:"max_message_bytes,omitempty"`
	MaxGroups       *int64 `json:"max_groups,omitempty"`
	MaxDepth        *int64 `json:"max_depth,omitempty"`
}
