package rohrpost

import (
	"encoding/json"
	"math/rand/v2"
)

// What happened to the row of a Change.
const (
	Create = "create"
	Update = "update"
	Delete = "delete"

	// Resync says that the state of the group may be stale and is to be loaded
	// again. The object then holds the reason.
	Resync = "resync"
)

// The type of the message that carries a Change.
const changeMessage = "subscription-update"

// maxID is the longest id in bytes, as it stands in the frame.
const maxID = 128

// envelope is a message whose parts are JSON already. A part that is nil, and
// an empty error, are not sent.
type envelope struct {
	id, typ, data json.RawMessage
	err           string
}

// encode joins the parts without looking at them: bytes that came from the
// other end go back exactly as they came.
func (e envelope) encode() []byte { return e.appendTo(make([]byte, 0, e.size())) }

// size is about how long it is.
func (e envelope) size() int { return len(e.id) + len(e.typ) + len(e.err) + len(e.data) + 48 }

func (e envelope) appendTo(b []byte) []byte {
	b = append(b, '{')
	b = appendPart(b, `"id":`, e.id)
	b = appendPart(b, `"type":`, e.typ)
	if e.err != "" {
		b = appendPart(b, `"error":`, encodeString(e.err))
	}
	b = appendPart(b, `"data":`, e.data)
	return append(b, '}')
}

func appendPart(b []byte, key string, value json.RawMessage) []byte {
	if value == nil {
		return b
	}
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = append(b, key...)
	return append(b, value...)
}

func randomID() json.RawMessage { return appendUint(nil, randomInteger()) }

// randomInteger returns an integer in [2^52, 2^53): exact in JavaScript, and above
// every counter and every clock in milliseconds a page could number its
// requests with, so that it never answers a request by accident.
func randomInteger() uint64 {
	const low = 1 << 52
	return low + rand.Uint64N(low)
}

// validGroup reports whether name fits the grammar of group names,
// [A-Za-z0-9_.:-]{1,200}.
func validGroup(name string) bool {
	if name == "" || len(name) > 200 {
		return false
	}
	for i := range len(name) {
		if !groupByte(name[i]) {
			return false
		}
	}
	return true
}

func groupByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return c == '_' || c == '.' || c == ':' || c == '-'
}
