package frames_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/rohrpost/rohrpost/internal/frames"
	"github.com/stretchr/testify/require"
)

// FuzzFrames reads any bytes as the frames of a client, whole and byte by byte: both find
// the same messages and the same end, and no message is larger than the limit.
func FuzzFrames(f *testing.F) {
	for _, seed := range []string{
		"\x81\x80\x00\x00\x00\x00", "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", "\x01\x81\x00\x00\x00\x00a\x80\x81\x00\x00\x00\x00b", "\x89\x80\x00\x00\x00\x00",
		"\x88\x82\x00\x00\x00\x00\x03\xe8", "\x88\x81\x00\x00\x00\x00\x03", "\x82\xfe\x00\x7e\x00\x00\x00\x00", "\x81\xff\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00",
		"\x81\x82\x00\x00\x00\x00\xc3\x28", "\x01\x81\x00\x00\x00\x00\xc3\x80\x81\x00\x00\x00\x00\xa4", "\xf1\x80", "\x83\x80", "\x81\x00", "\x00\x80\x00\x00\x00\x00",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		whole, end := readAll(t, bytes.NewReader(sent))
		pieces, sameEnd := readAll(t, iotest.OneByteReader(bytes.NewReader(sent)))
		require.Equal(t, whole, pieces)
		require.Equal(t, end, sameEnd)
	})
}

const maxMessage = 300

func readAll(t *testing.T, src io.Reader) (messages []string, end string) {
	r := frames.NewReader(src, maxMessage)
	for {
		h, err := r.Next()
		if err == nil && h.IsControl() {
			var p []byte
			if p, err = r.Control(h); err == nil && h.Opcode == frames.Close {
				_, err = frames.ParseClose(p)
			}
			require.LessOrEqual(t, len(p), 125)
		} else if err == nil {
			var message []byte
			var opcode byte
			var done bool
			if opcode, message, done, err = r.Data(h); done {
				require.LessOrEqual(t, len(message), maxMessage)
				require.True(t, opcode != frames.Text || utf8.Valid(message))
				messages = append(messages, string(message))
			}
		}
		if err != nil {
			var v *frames.Violation
			require.True(t, errors.As(err, &v) || err == io.EOF || err == io.ErrUnexpectedEOF, "%v", err)
			return messages, err.Error()
		}
	}
}
