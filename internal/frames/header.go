// Package frames reads the frames of a WebSocket client as RFC 6455 defines them. It
// refuses what the RFC forbids, looks at a header before it reads a payload, and keeps no
// more than one message.
package frames

import (
	"encoding/binary"
	"fmt"
	"io"
)

// The opcodes of RFC 6455, section 5.2.
const (
	Continuation = 0x0
	Text         = 0x1
	Binary       = 0x2
	Close        = 0x8
	Ping         = 0x9
	Pong         = 0xA
)

// The close codes with which a violation is answered.
const (
	protocolError  = 1002
	invalidPayload = 1007
	tooLarge       = 1009
)

// Violation is an error of the client. The connection is closed with its code.
type Violation struct {
	Code   int
	Reason string
}

// Error implements error.
func (v *Violation) Error() string { return fmt.Sprintf("close code %d: %s", v.Code, v.Reason) }

func violation(reason string) *Violation { return &Violation{protocolError, reason} }

// Header is the header of a frame from a client.
type Header struct {
	Final  bool
	Opcode byte
	Length int64 // of the payload
	Size   int   // of the header
	mask   [4]byte
}

// IsControl reports whether the frame is a close, a ping or a pong.
func (h *Header) IsControl() bool { return h.Opcode >= Close }

const (
	maxHeader  = 14
	maxControl = 125 // the length of the longest payload of a control frame
)

// readHeader reads a header, and refuses one that no sequence of frames may have.
func readHeader(r io.Reader, buffer *[maxHeader]byte) (h Header, err error) {
	if _, err = io.ReadFull(r, buffer[:2]); err != nil {
		return h, err
	}
	first, second := buffer[0], buffer[1]
	h.Final, h.Opcode = first&0x80 != 0, first&0x0F
	h.Length = int64(second & 0x7F)
	switch {
	case first&0x70 != 0:
		return h, violation("a reserved bit is set")
	case Binary < h.Opcode && h.Opcode < Close || h.Opcode > Pong:
		return h, violation("reserved opcode")
	case second&0x80 == 0:
		return h, violation("the frame is not masked")
	case h.IsControl() && !h.Final:
		return h, violation("fragmented control frame")
	case h.IsControl() && h.Length > maxControl:
		return h, violation("control frame longer than 125 bytes")
	}
	length := 0
	switch h.Length {
	case 126:
		length = 2
	case 127:
		length = 8
	}
	rest := buffer[2 : 2+length+len(h.mask)]
	if _, err = io.ReadFull(r, rest); err != nil {
		return h, unexpected(err)
	}
	h.Size = 2 + len(rest)
	copy(h.mask[:], rest[length:])
	return h, h.readLength(rest[:length])
}

func (h *Header) readLength(extended []byte) error {
	switch len(extended) {
	case 2:
		h.Length = int64(binary.BigEndian.Uint16(extended))
		if h.Length < 126 {
			return violation("the length is not in its shortest form")
		}
	case 8:
		length := binary.BigEndian.Uint64(extended)
		if length>>63 != 0 {
			return violation("the length is negative")
		}
		if h.Length = int64(length); length < 1<<16 {
			return violation("the length is not in its shortest form")
		}
	}
	return nil
}

// unexpected is for an end in the middle of a frame.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// unmask applies the mask, from its byte at the offset.
func unmask(p []byte, mask [4]byte, offset int) {
	for ; len(p) > 0 && offset%4 != 0; offset++ {
		p[0] ^= mask[offset%4]
		p = p[1:]
	}
	word := uint64(binary.LittleEndian.Uint32(mask[:]))
	word |= word << 32
	for ; len(p) >= 8; p = p[8:] {
		binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)^word)
	}
	for i := range p {
		p[i] ^= mask[i%4]
	}
}
