package rohrpost

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// rawClient is a client that sends any bytes after its handshake.
type rawClient struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
}

// rawDial shakes hands with the hub at a WebSocket URL.
func rawDial(t testing.TB, url string) *rawClient {
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "ws://"))
	require.NoError(t, err)
	return shakeHands(t, conn)
}

// shakeHands returns a client that has shaken hands on conn, which the test closes at its end.
func shakeHands(t testing.TB, conn net.Conn) *rawClient {
	t.Cleanup(func() { _ = conn.Close() })
	c := &rawClient{t, conn, bufio.NewReader(conn)}
	_, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: hub\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	require.NoError(t, err)
	for line := ""; line != "\r\n"; {
		line, err = c.in.ReadString('\n')
		require.NoError(t, err)
	}
	return c
}

// frame is a frame of a client as it is to be sent, right or wrong.
type frame struct {
	first   byte // FIN, the reserved bits and the opcode
	payload []byte
	long    int // the bytes of the extended length, 0 for the shortest form
	bare    bool
}

const testMask = "\x37\xfa\x21\x3d"

// bytes returns the frame on the wire.
func (f frame) bytes() []byte {
	b, masked := []byte{f.first}, byte(0x80)
	if f.bare {
		masked = 0
	}
	n := len(f.payload)
	switch {
	case f.long == 8 || f.long == 0 && n > 0xFFFF:
		b = binary.BigEndian.AppendUint64(append(b, masked|127), uint64(n))
	case f.long == 2 || f.long == 0 && n > 125:
		b = binary.BigEndian.AppendUint16(append(b, masked|126), uint16(n))
	default:
		b = append(b, masked|byte(n))
	}
	if f.bare {
		return append(b, f.payload...)
	}
	b = append(b, testMask...)
	for i, c := range f.payload {
		b = append(b, c^testMask[i%4])
	}
	return b
}

// reply is a frame of the hub.
type reply struct {
	opcode  byte
	payload string
}

func (r reply) String() string {
	if r.opcode == 8 && len(r.payload) >= 2 {
		return fmt.Sprintf("close %d %s", binary.BigEndian.Uint16([]byte(r.payload)), r.payload[2:])
	}
	return fmt.Sprintf("%x %.80q", r.opcode, r.payload)
}

// next reads a frame of the hub. It returns the error of the connection.
func (c *rawClient) next() (r reply, err error) {
	_ = c.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	head := make([]byte, 2)
	if _, err = io.ReadFull(c.in, head); err != nil {
		return r, err
	}
	length := int(head[1])
	switch length {
	case 126:
		_, err = io.ReadFull(c.in, head)
		length = int(binary.BigEndian.Uint16(head))
	case 127:
		wide := make([]byte, 8)
		_, err = io.ReadFull(c.in, wide)
		length = int(binary.BigEndian.Uint64(wide))
	}
	if err != nil {
		return r, err
	}
	payload := make([]byte, length)
	_, err = io.ReadFull(c.in, payload)
	return reply{head[0] & 0x0F, string(payload)}, err
}

// converse sends bytes, as a whole or in pieces, and returns what the hub sends until it
// ends the connection, or done holds.
func (c *rawClient) converse(sent []byte, pieces int, done func(got []reply) bool) (got []reply) {
	go func() {
		for len(sent) > 0 {
			n := len(sent)
			if pieces > 0 {
				n = min(pieces, n)
			}
			if _, err := c.conn.Write(sent[:n]); err != nil {
				return
			}
			sent = sent[n:]
		}
	}()
	for !done(got) {
		r, err := c.next()
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			require.Fail(c.t, "the hub neither answers nor closes", "after %v", got)
		}
		if err != nil {
			return got
		}
		got = append(got, r)
	}
	return got
}

// join joins frames.
func joined(frames ...frame) []byte {
	var b bytes.Buffer
	for _, f := range frames {
		b.Write(f.bytes())
	}
	return b.Bytes()
}

// closing is the payload of a close frame.
func closing(code int, reason string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...)
}
