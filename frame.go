package rohrpost

import (
	"encoding/binary"

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

// resyncFrame tells a group to load its state again.
func resyncFrame(group, reason string) frame {
	payload, _ := newResync(group, reason).encode() // always encodes
	return textFrame(payload)
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
