package rohrpost

import (
	"encoding/binary"
	"encoding/json"
	"strconv"

	"github.com/gorilla/websocket"
)

// frame is one WebSocket frame on its way out, header and all. A server does not
// mask, so that all who get it share the same bytes. They never change.
type frame []byte

const (
	finalText = 0x80 | websocket.TextMessage
	maxHeader = 10
)

// textFrame frames a message.
func textFrame(payload []byte) frame {
	return append(appendHeader(make(frame, 0, len(payload)+maxHeader), finalText, len(payload)), payload...)
}

// seal frames the message of a change, with the offset as the last key of its data;
// 0 is none.
func seal(payload []byte, offset uint64) frame {
	if offset == 0 {
		return textFrame(payload)
	}
	const key, end = `,"offset":`, "}}"
	var digits [20]byte
	number := strconv.AppendUint(digits[:0], offset, 10)
	size := len(payload) + len(key) + len(number)
	f := appendHeader(make(frame, 0, size+maxHeader), finalText, size)
	f = append(f, payload[:len(payload)-len(end)]...)
	f = append(f, key...)
	f = append(f, number...)
	return append(f, end...)
}

// resyncPayload tells a group to load its state again.
func resyncPayload(group, reason string) []byte {
	payload, _ := newResync(group, reason).encode() // always encodes
	return payload
}

// resyncAt tells members to load their state again, and where it then is.
func resyncAt(group, reason string, at Position) frame {
	payload := resyncPayload(group, reason)
	where, _ := json.Marshal(at) // always encodes
	payload = append(payload[:len(payload)-len("}}")], ',')
	payload = append(payload, where[1:]...)
	return textFrame(append(payload, '}'))
}

// controlFrame frames what a control frame carries: at most 125 bytes.
func controlFrame(kind int, payload []byte) frame {
	return append(appendHeader(make(frame, 0, len(payload)+2), byte(0x80|kind), len(payload)), payload...)
}

// appendHeader follows RFC 6455, section 5.2.
func appendHeader(f frame, first byte, length int) frame {
	switch {
	case length < 126:
		return append(f, first, byte(length))
	case length < 1<<16:
		return binary.BigEndian.AppendUint16(append(f, first, 126), uint16(length))
	default:
		return binary.BigEndian.AppendUint64(append(f, first, 127), uint64(length))
	}
}
