package wire

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// reason is the Object of a resync.
type reason struct {
	Reason string `json:"reason"`
}

// NewResync returns the change that tells a group to load its snapshot again.
func NewResync(group, why string) Change {
	return Change{Group: group, Type: Resync, Object: reason{why}}
}

// Resync returns NewResync for the group, or the view of it, that the change is for.
func (ch *Change) Resync(why string) Change {
	resync := NewResync(ch.Group, why)
	resync.View = ch.View
	return resync
}

// ResyncObject returns the encoded Object of NewResync.
func ResyncObject(why string) json.RawMessage {
	object, _ := EncodeValue(reason{why}) // always encodes
	return object
}

// ResyncPayload encodes NewResync for the members of a stream.
func ResyncPayload(stream, why string) []byte {
	ch := NewResync(GroupOf(stream), why)
	payload, _ := ch.Encode() // always encodes
	return payload
}

const (
	spreadPerMember = 10   // milliseconds
	maxSpread       = 2000 // milliseconds
)

// AddSpread adds to the object of a resync, as its last key, the milliseconds over which
// so many members spread their reloads: none for one member. It returns any other
// payload as it is, and a resync without an object, or whose object has a spread.
func AddSpread(payload []byte, members int) []byte {
	const end = "}}}"
	if !IsResync(payload) || !bytes.HasSuffix(payload, []byte(end)) || bytes.Contains(payload, []byte(`"spread"`)) {
		return payload
	}
	spread := min(spreadPerMember*max(members-1, 0), maxSpread)
	object := trimSpace(payload[:len(payload)-len(end)])
	b := append(make([]byte, 0, len(payload)+20), object...)
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = append(b, `"spread":`...)
	return append(strconv.AppendInt(b, int64(spread), 10), end...)
}

// IsResync reports whether a hub has encoded the payload for a resync. The id has 16
// digits.
func IsResync(payload []byte) bool {
	const id, start = len(`{"id":`) + 16, `,"type":"` + ChangeMessage + `","data":{"type":"` + Resync + `",`
	return len(payload) > id && bytes.HasPrefix(payload[id:], []byte(start))
}

// unsubscribed is the Type of the message that tells a client that its membership has
// ended. No change has it.
const unsubscribed = "unsubscribed"

// The reasons of an end of a membership: ReasonLeft by Conn.Leave, ReasonRevoked by
// Hub.Revoke, Hub.Recheck and a refused subscription; that is also the reason why such a
// client gets no replay.
const ReasonLeft = "left"

// UnsubscribedFrame tells a client why its membership in a stream has ended.
func UnsubscribedFrame(stream, why string) Frame {
	ch := Change{Group: GroupOf(stream), Type: unsubscribed, Object: reason{why}}
	payload, _ := ch.Encode() // always encodes
	return TextFrame(payload)
}
