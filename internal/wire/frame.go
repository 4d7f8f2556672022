package wire

import (
	"encoding/binary"
	"strconv"
)

// Frame is one outgoing WebSocket frame with its header. A server does not mask its
// frames, so that all members of a group share the same bytes. They never change.
type Frame []byte

// The opcodes of RFC 6455, section 5.2.
const (
	opText  = 0x1
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xA

	final     = 0x80 // the bit of a frame that ends a message
	finalText = final | opText
)

// maxHeader is the length of the longest header of a frame that is not masked.
const maxHeader = 10

// TextFrame frames a message.
func TextFrame(payload []byte) Frame {
	return append(appendHeader(make(Frame, 0, len(payload)+maxHeader), finalText, len(payload)), payload...)
}

// ChangeFrame frames the message of a change and adds the offset as the last key of
// its data. Before it stands prev, the offset of the change that the group has got
// before, unless that is the next lower number. The offset 0 is not added.
func ChangeFrame(payload []byte, prev, offset uint64) Frame {
	if offset == 0 {
		return TextFrame(payload)
	}
	const end = "}}"
	var keys [maxPlace]byte
	place := keys[:0]
	if prev+1 != offset {
		place = strconv.AppendUint(append(place, `,"prev":`...), prev, 10)
	}
	place = strconv.AppendUint(append(place, `,"offset":`...), offset, 10)
	size := len(payload) + len(place)
	f := appendHeader(make(Frame, 0, size+maxHeader), finalText, size)
	f = append(f, payload[:len(payload)-len(end)]...)
	f = append(f, place...)
	return append(f, end...)
}

// maxPlace is the length of the longest prev and offset.
const maxPlace = len(`,"prev":,"offset":`) + 2*20

// ResyncFrame tells the members of a stream to load their snapshot again, and the
// position from which they go on; there is none without an epoch.
func ResyncFrame(stream, why string, members int, epoch string, offset uint64) Frame {
	payload := AddSpread(ResyncPayload(stream, why), members)
	if epoch == "" {
		return TextFrame(payload)
	}
	payload = append(payload[:len(payload)-len("}}")], `,"epoch":`...)
	payload = AppendString(payload, EpochFor(stream, epoch))
	payload = append(payload, `,"offset":`...)
	payload = strconv.AppendUint(payload, offset, 10)
	return TextFrame(append(payload, "}}"...))
}

// PingFrame returns a ping without data.
func PingFrame() Frame { return controlFrame(opPing, nil) }

// PongFrame answers a ping with its data, at most 125 bytes.
func PongFrame(data string) Frame { return controlFrame(opPong, []byte(data)) }

// FramedBytes returns the most bytes that a message takes as a change frame.
func FramedBytes(payload []byte) int { return len(payload) + maxHeader }

func controlFrame(opcode byte, payload []byte) Frame {
	return append(appendHeader(make(Frame, 0, len(payload)+2), final|opcode, len(payload)), payload...)
}

// appendHeader follows RFC 6455, section 5.2.
func appendHeader(f Frame, first byte, length int) Frame {
	switch {
	case length < 126:
		return append(f, first, byte(length))
	case length < 1<<16:
		return binary.BigEndian.AppendUint16(append(f, first, 126), uint16(length))
	default:
		return binary.BigEndian.AppendUint64(append(f, first, 127), uint64(length))
	}
}
