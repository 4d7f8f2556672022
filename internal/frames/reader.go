package frames

import (
	"encoding/binary"
	"io"
	"unicode/utf8"
)

// Reader reads the frames of one client. Its methods are for one goroutine.
type Reader struct {
	src    io.Reader
	max    int64 // bytes of a message; negative: any
	buffer [maxHeader]byte

	opcode  byte // of the message that is not complete; Continuation: there is none
	message []byte
	checked int // the bytes of a text that are valid UTF-8
}

// NewReader returns a Reader of a client whose messages may have max bytes.
func NewReader(src io.Reader, max int64) Reader { return Reader{src: src, max: max} }

// Partial reports whether a message has begun and is not complete.
func (r *Reader) Partial() bool { return r.opcode != Continuation }

// Next reads the header of the next frame. The caller then calls Control or Data. Next
// returns a *Violation for a frame that the client must not send here, io.EOF for an end
// between two frames, and else the error of the source.
func (r *Reader) Next() (h Header, err error) {
	if h, err = readHeader(r.src, &r.buffer); err != nil {
		return h, err
	}
	switch {
	case h.IsControl():
		return h, nil
	case h.Opcode == Continuation && !r.Partial():
		return h, violation("continuation of no message")
	case h.Opcode != Continuation && r.Partial():
		return h, violation("a message begins before the end of another one")
	case r.max >= 0 && h.Length > r.max-int64(len(r.message)):
		return h, &Violation{tooLarge, "message too large"}
	}
	return h, nil
}

// Control reads the payload of a control frame.
func (r *Reader) Control(h Header) ([]byte, error) {
	p := make([]byte, h.Length)
	_, err := io.ReadFull(r.src, p)
	unmask(p, h.mask, 0)
	return p, unexpected(err)
}

// Data reads the payload of a text, a binary or a continuation frame. With the last frame
// of a message it returns the message, which belongs to the caller, and its opcode.
func (r *Reader) Data(h Header) (opcode byte, message []byte, done bool, err error) {
	if h.Opcode != Continuation {
		r.opcode = h.Opcode
	}
	if err := r.readPayload(h); err != nil {
		return 0, nil, false, err
	}
	if r.opcode == Text && !r.isText(h.Final) {
		return 0, nil, false, &Violation{invalidPayload, "invalid UTF-8"}
	}
	if !h.Final {
		return 0, nil, false, nil
	}
	opcode, message = r.opcode, r.message
	r.opcode, r.message, r.checked = Continuation, nil, 0
	return opcode, message, true, nil
}

// chunk is the memory that is taken before anything of a payload has come.
const chunk = 4 << 10

// readPayload appends a payload to the message. The memory grows with what has come: a
// header alone costs the client nothing. A message in pieces is not moved for each of them.
func (r *Reader) readPayload(h Header) error {
	start := len(r.message)
	end := start + int(h.Length)
	for len(r.message) < end {
		if have := len(r.message); cap(r.message) == have {
			grown := make([]byte, have, min(max(end, 2*start), max(2*have, have+chunk)))
			copy(grown, r.message)
			r.message = grown
		}
		have := len(r.message)
		next := r.message[have:min(end, cap(r.message))]
		n, err := io.ReadFull(r.src, next)
		unmask(next[:n], h.mask, have-start)
		if r.message = r.message[:have+n]; err != nil {
			return unexpected(err)
		}
	}
	return nil
}

// isText checks what has come of a text. The last rune may lack bytes until the message
// is final.
func (r *Reader) isText(final bool) bool {
	rest := r.message[r.checked:]
	if !final {
		for back := 1; back < utf8.UTFMax && back <= len(rest); back++ {
			if last := rest[len(rest)-back:]; utf8.RuneStart(last[0]) {
				if !utf8.FullRune(last) {
					rest = rest[:len(rest)-back]
				}
				break
			}
		}
	}
	r.checked += len(rest)
	return utf8.Valid(rest)
}

// NoCode is the code of a close frame without one.
const NoCode = 1005

// ParseClose returns the code of the payload of a close frame, NoCode for none.
func ParseClose(p []byte) (code int, err error) {
	if len(p) == 0 {
		return NoCode, nil
	}
	if len(p) == 1 {
		return 0, violation("close frame with one byte")
	}
	code = int(binary.BigEndian.Uint16(p))
	switch {
	case !mayComeIn(code):
		return 0, violation("reserved close code")
	case !utf8.Valid(p[2:]):
		return 0, &Violation{invalidPayload, "invalid UTF-8"}
	}
	return code, nil
}

// mayComeIn reports whether a client may close with the code: those of RFC 6455, section
// 7.4, and of its registry, except the ones that stand for no code or no close frame.
func mayComeIn(code int) bool {
	return 1000 <= code && code <= 1003 || 1007 <= code && code <= 1014 || 3000 <= code && code <= 4999
}
