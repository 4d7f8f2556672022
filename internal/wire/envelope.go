package wire

import (
	"encoding/json"
	"math/rand/v2"
	"strconv"
)

// The types of the messages that the hub sends on its own account.
const (
	ChangeMessage = "subscription-update" // carries a Change
)

// Envelope is a message whose parts are JSON already. A nil part is not sent.
type Envelope struct {
	ID, Type  json.RawMessage
	Error     json.RawMessage
	ErrorInfo *ErrorInfo
	Data      json.RawMessage
	Group     json.RawMessage // of a plain message
	Origin    json.RawMessage // of a plain message
}

// Encode joins the parts and does not look at them: bytes that came from the
// client go back exactly as they came.
func (e Envelope) Encode() []byte { return e.appendTo(make([]byte, 0, e.size())) }

// Frame encodes the envelope as a text frame. It leaves room for the header and
// so copies nothing.
func (e Envelope) Frame() Frame {
	b := e.appendTo(make([]byte, maxHeader, maxHeader+e.size()))
	var space [maxHeader]byte
	header := appendHeader(space[:0], finalText, len(b)-maxHeader)
	f := b[maxHeader-len(header):]
	copy(f, header)
	return f
}

// size returns about the length of the encoding.
func (e Envelope) size() int {
	const keys, info = 70, 90
	size := len(e.ID) + len(e.Type) + len(e.Error) + len(e.Data) + len(e.Group) + len(e.Origin) + keys
	if e.ErrorInfo != nil {
		size += info
	}
	return size
}

func (e Envelope) appendTo(b []byte) []byte {
	b = append(b, '{')
	b = appendPart(b, `"id":`, e.ID)
	b = appendPart(b, `"type":`, e.Type)
	b = appendPart(b, `"error":`, e.Error)
	if e.ErrorInfo != nil {
		b = appendPart(b, `"error_info":`, e.ErrorInfo.encode())
	}
	b = appendPart(b, `"data":`, e.Data)
	b = appendPart(b, `"group":`, e.Group)
	b = appendPart(b, `"origin":`, e.Origin)
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

func randomID() json.RawMessage { return strconv.AppendUint(nil, randomInteger(), 10) }

// randomInteger returns an integer in [2^52, 2^53): exact in JavaScript, and above
// every counter and every clock in milliseconds with which a page could number its
// requests. So it never answers a request by accident.
func randomInteger() uint64 {
	const low = 1 << 52
	return low + rand.Uint64N(low)
}
