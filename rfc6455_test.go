package rohrpost

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// rfcCase is a sequence of frames, and what RFC 6455 wants for it: the payloads of the
// messages that are echoed, of the pongs, and the close code; 0 is none, the connection
// works on.
type rfcCase struct {
	name   string
	sent   []frame
	pieces int // the bytes sent at a time; 0: all
	want   []string
	code   int
}

// The names of the cases are those of the sections of the Autobahn test suite; the cases
// are written from the RFC.
const (
	fin                           = 0x80
	cont, text, binaryFrame       = 0x0, 0x1, 0x2
	closeFrame, pingFrame, pongOp = 0x8, 0x9, 0xA
)

// A message of the protocol is JSON: echo is a request whose reply carries the payload.
func echo(payload string) string { return `{"id":1,"type":"ping","data":"` + payload + `"}` }

func echoed(payload string) string { return `{"id":1,"type":"pong","data":"` + payload + `"}` }

const unsupported = `{"error":"Binary messages are not supported.","error_info":{"code":"unsupported","temporary":false}}`

func framing() (cases []rfcCase) { // 1.1 and 1.2
	for i, n := range []int{0, 1, 64, 87, 88, 89, 90, 125, 126, 127, 128, 1000, 65000, 65497, 65498} {
		p := strings.Repeat("*", n)
		cases = append(cases, rfcCase{fmt.Sprintf("1.1.%d text of %d bytes", i+1, n), []frame{{first: fin | text, payload: []byte(echo(p))}}, 0, []string{echoed(p)}, 0})
	}
	p := strings.Repeat("*", 20_000)
	for _, pieces := range []int{997, 1, 7} {
		if pieces == 1 {
			p = p[:2000]
		}
		cases = append(cases, rfcCase{fmt.Sprintf("1.1.16 text in pieces of %d bytes", pieces), []frame{{first: fin | text, payload: []byte(echo(p))}}, pieces, []string{echoed(p)}, 0})
	}
	for i, n := range []int{0, 125, 126, 127, 128, 65535, 65536} {
		cases = append(cases, rfcCase{fmt.Sprintf("1.2.%d binary of %d bytes", i+1, n), []frame{{first: fin | binaryFrame, payload: make([]byte, n)}}, 0, []string{unsupported}, 0})
	}
	cases = append(cases,
		rfcCase{"1.3.1 text longer than the limit", []frame{{first: fin | text, payload: make([]byte, 64<<10+1)}}, 0, nil, 1009},
		rfcCase{"1.3.2 fragments longer than the limit", []frame{{first: text, payload: make([]byte, 64<<10)}, {first: fin | cont, payload: []byte("x")}}, 0, nil, 1009},
		rfcCase{"1.3.3 an empty frame ends a message at the limit", []frame{{first: text, payload: append(bytes.Repeat([]byte(" "), 64<<10-len(echo("a"))), echo("a")...)}, {first: fin | cont}}, 0, []string{echoed("a")}, 0},
	)
	for i, n := range []int{0, 10, 125} {
		cases = append(cases, rfcCase{fmt.Sprintf("1.4.%d length of %d bytes in two more bytes", i+1, n), []frame{{first: fin | text, payload: make([]byte, n), long: 2}}, 0, nil, 1002})
	}
	for i, n := range []int{0, 125, 126, 65535} {
		cases = append(cases, rfcCase{fmt.Sprintf("1.5.%d length of %d bytes in eight more bytes", i+1, n), []frame{{first: fin | text, payload: make([]byte, n), long: 8}}, 0, nil, 1002})
	}
	return cases
}

func pings() (cases []rfcCase) { // 2
	ping := func(p string) frame { return frame{first: fin | pingFrame, payload: []byte(p)} }
	for i, p := range []string{"", "Hello, world!", "\x00\xff\xfe\xfd\xfc\xfb\x00\xff", strings.Repeat("\xfe", 125)} {
		cases = append(cases, rfcCase{fmt.Sprintf("2.%d ping of %d bytes", i+1, len(p)), []frame{ping(p)}, 0, []string{"pong " + p}, 0})
		cases = append(cases, rfcCase{fmt.Sprintf("2.%d ping of %d bytes in pieces", i+1, len(p)), []frame{ping(p)}, 1, []string{"pong " + p}, 0})
	}
	pong := frame{first: fin | pongOp, payload: []byte("unasked")}
	var ten []frame
	var want []string
	for i := range 10 {
		ten, want = append(ten, ping(fmt.Sprint(i))), append(want, fmt.Sprint("pong ", i))
	}
	return append(cases,
		rfcCase{"2.5 ping of 126 bytes", []frame{ping(strings.Repeat("*", 126))}, 0, nil, 1002},
		rfcCase{"2.7 pong without payload", []frame{{first: fin | pongOp}, ping("a")}, 0, []string{"pong a"}, 0},
		rfcCase{"2.8 pong nobody asked for", []frame{pong, ping("a")}, 0, []string{"pong a"}, 0},
		rfcCase{"2.9 pong, then ping", []frame{pong, pong, ping("b")}, 0, []string{"pong b"}, 0},
		rfcCase{"2.10 ten pings", ten, 0, want, 0},
		rfcCase{"2.11 ten pings in pieces", ten, 1, want, 0},
		rfcCase{"2.12 pong of 126 bytes", []frame{{first: fin | pongOp, payload: make([]byte, 126)}}, 0, nil, 1002},
	)
}

func reservedBits() (cases []rfcCase) { // 3
	good := frame{first: fin | text, payload: []byte(echo("a"))}
	for bits := 1; bits <= 7; bits++ {
		for _, opcode := range []byte{text, binaryFrame, pingFrame, pongOp, closeFrame} {
			bad := frame{first: fin | byte(bits)<<4 | opcode, payload: []byte("x")}
			if opcode == closeFrame {
				bad.payload = closing(1000, "")
			}
			cases = append(cases, rfcCase{fmt.Sprintf("3.%d reserved bits %03b, opcode %x", bits, bits, opcode), []frame{good, bad}, 0, []string{echoed("a")}, 1002})
		}
		bad := frame{first: fin | byte(bits)<<4 | cont, payload: []byte("x")}
		cases = append(cases, rfcCase{fmt.Sprintf("3.%d reserved bits %03b, continuation", bits, bits), []frame{{first: text, payload: []byte("x")}, bad}, 0, nil, 1002})
	}
	return cases
}

func opcodes() (cases []rfcCase) { // 4
	good := frame{first: fin | text, payload: []byte(echo("a"))}
	for i, opcode := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		for j, p := range []string{"", "x"} {
			bad := frame{first: fin | opcode, payload: []byte(p)}
			cases = append(cases,
				rfcCase{fmt.Sprintf("4.%d.%d reserved opcode %x", 1+i/5, 1+i%5*2+j, opcode), []frame{bad}, 0, nil, 1002},
				rfcCase{fmt.Sprintf("4.%d.%d reserved opcode %x after a message", 1+i/5, 1+i%5*2+j, opcode), []frame{good, bad, good}, 0, []string{echoed("a")}, 1002},
			)
		}
	}
	for _, opcode := range []byte{text, binaryFrame, pingFrame, pongOp, closeFrame} {
		bad := frame{first: fin | opcode, payload: closing(1000, ""), bare: true}
		cases = append(cases, rfcCase{fmt.Sprintf("4.3 opcode %x without mask", opcode), []frame{good, bad}, 0, []string{echoed("a")}, 1002})
	}
	return cases
}

func fragments() (cases []rfcCase) { // 5
	whole := echo("fragments")
	first, rest := frame{first: text, payload: []byte(whole[:10])}, frame{first: fin | cont, payload: []byte(whole[10:])}
	middle := func(from, to int) frame { return frame{first: cont, payload: []byte(whole[from:to])} }
	ping := frame{first: fin | pingFrame, payload: []byte("p")}
	reply := echoed("fragments")
	cases = []rfcCase{
		{"5.1 fragmented ping", []frame{{first: pingFrame, payload: []byte("a")}, {first: fin | cont, payload: []byte("b")}}, 0, nil, 1002},
		{"5.2 fragmented pong", []frame{{first: pongOp, payload: []byte("a")}, {first: fin | cont, payload: []byte("b")}}, 0, nil, 1002},
		{"5.2.1 fragmented close", []frame{{first: closeFrame, payload: closing(1000, "")}}, 0, nil, 1002},
		{"5.3 two fragments", []frame{first, rest}, 0, []string{reply}, 0},
		{"5.4 two fragments, frame by frame", []frame{first, rest}, 16, []string{reply}, 0},
		{"5.5 two fragments in pieces", []frame{first, rest}, 1, []string{reply}, 0},
		{"5.6 ping between fragments", []frame{first, ping, rest}, 0, []string{"pong p", reply}, 0},
		{"5.7 ping between fragments, frame by frame", []frame{first, ping, rest}, 16, []string{"pong p", reply}, 0},
		{"5.8 ping between fragments in pieces", []frame{first, ping, rest}, 1, []string{"pong p", reply}, 0},
		{"5.9 continuation of nothing, final", []frame{rest, first}, 0, nil, 1002},
		{"5.10 continuation of nothing, final, after a message", []frame{first, rest, rest}, 0, []string{reply}, 1002},
		{"5.11 continuation of nothing in pieces", []frame{rest}, 1, nil, 1002},
		{"5.12 continuation of nothing, not final", []frame{middle(0, 5), rest}, 0, nil, 1002},
		{"5.13 continuation of nothing, not final, after a message", []frame{first, rest, middle(0, 5)}, 0, []string{reply}, 1002},
		{"5.14 continuation of nothing, not final, in pieces", []frame{middle(0, 5)}, 1, nil, 1002},
		{"5.15 continuation after the end", []frame{first, rest, middle(0, 5), first, rest}, 0, []string{reply}, 1002},
		{"5.16 empty continuation of nothing", []frame{{first: cont}, first, rest}, 0, nil, 1002},
		{"5.17 empty final continuation of nothing", []frame{{first: fin | cont}, first, rest}, 0, nil, 1002},
		{"5.18 a text begins in a text", []frame{first, {first: fin | text, payload: []byte(whole)}}, 0, nil, 1002},
		{"5.18.1 a binary begins in a text", []frame{first, {first: fin | binaryFrame}}, 0, nil, 1002},
		{"5.18.2 a fragment begins in a text", []frame{first, first}, 0, nil, 1002},
		{"5.19 pings between five fragments", []frame{first, middle(10, 12), ping, middle(12, 14), middle(14, 20), ping, {first: fin | cont, payload: []byte(whole[20:])}}, 0, []string{"pong p", "pong p", reply}, 0},
		{"5.20 pings between five fragments in pieces", []frame{first, middle(10, 12), ping, middle(12, 14), middle(14, 20), ping, {first: fin | cont, payload: []byte(whole[20:])}}, 1, []string{"pong p", "pong p", reply}, 0},
		{"5.21 close between fragments", []frame{first, {first: fin | closeFrame, payload: closing(1000, "")}}, 0, nil, 1000},
		{"5.22 empty fragments around", []frame{{first: text}, middle(0, 20), {first: cont}, {first: fin | cont, payload: []byte(whole[20:])}}, 0, []string{reply}, 0},
		{"5.23 only empty fragments", []frame{{first: text}, {first: cont}, {first: fin | cont}}, 0, []string{`{"error":"Received empty message.","error_info":{"code":"malformed","temporary":false}}`}, 0},
		{"5.24 binary in fragments", []frame{{first: binaryFrame, payload: []byte{1}}, {first: fin | cont, payload: []byte{2}}}, 0, []string{unsupported}, 0},
		{"5.25 two messages in fragments", []frame{first, rest, first, rest}, 0, []string{reply, reply}, 0},
	}
	return cases
}

func texts() (cases []rfcCase) { // 6
	const greek = "κόσμε"
	valid := []string{
		"", "Hello-µ@ßöäüàá-UTF-8!!", greek, "\u007f", "\u0080", "\u07ff", "\u0800", "\uffff", "\ufffd", "\ufffe", "\U00010000", "\U0010ffff",
		"\ud7ff", "\ue000", "\ufdd0", "\U0001fffe", "\U0001ffff", "\U000fffff", "\u200b", "\u2028", "𝄞", strings.Repeat("ä", 1000),
	}
	for i, p := range valid {
		whole := echo(p)
		cases = append(cases, rfcCase{fmt.Sprintf("6.2.%d valid %.20q", i+1, p), []frame{{first: fin | text, payload: []byte(whole)}}, 0, []string{echoed(p)}, 0})
		if len(p) > 1 && len(p) < 100 {
			cut := strings.Index(whole, p) + 1 // within the first rune
			cases = append(cases, rfcCase{fmt.Sprintf("6.2.%d valid %.20q, cut in a rune", i+1, p), []frame{
				{first: text, payload: []byte(whole[:cut])}, {first: fin | cont, payload: []byte(whole[cut:])},
			}, 0, []string{echoed(p)}, 0})
		}
	}
	for i := range []byte(echo(greek)) {
		first, rest := echo(greek)[:i], echo(greek)[i:]
		if i > 30 {
			cases = append(cases, rfcCase{fmt.Sprintf("6.2.30 cut at byte %d", i), []frame{{first: text, payload: []byte(first)}, {first: fin | cont, payload: []byte(rest)}}, 0, []string{echoed(greek)}, 0})
		}
	}
	invalid := []string{
		greek + "\xed\xa0\x80edited", "\x80", "\xbf", "\x80\xbf", "\x80\xbf\x80", "\xc0", "\xc1", "\xf5", "\xfe", "\xff", "\xfe\xfe\xff\xff",
		"\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xf8\x80\x80\x80\xaf", "\xfc\x80\x80\x80\x80\xaf", // not in the shortest form
		"\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xc0\x80", "\xe0\x80\x80", "\xf0\x80\x80\x80",
		"\xed\xa0\x80", "\xed\xad\xbf", "\xed\xae\x80", "\xed\xaf\xbf", "\xed\xb0\x80", "\xed\xbe\x80", "\xed\xbf\xbf", // surrogates
		"\xed\xa0\x80\xed\xb0\x80", "\xed\xaf\xbf\xed\xbf\xbf", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80",
		"\xc3", "\xe2\x82", "\xf0\x9f\x98", "\xce\xba\xe1", "\xc3(", "\xe2(\xa1", "\xe2\x82(", "\xf0(\x8c\xbc", "\xf0\x90(\xbc", "\xf0\x28\x8c\x28",
	}
	for i, p := range invalid {
		cases = append(cases, rfcCase{fmt.Sprintf("6.3.%d invalid %x", i+1, p), []frame{{first: fin | text, payload: []byte(p)}}, 0, nil, 1007})
	}
	return append(cases,
		rfcCase{"6.4.1 invalid in the first fragment", []frame{{first: text, payload: []byte(greek + "\xf4\x90\x80\x80")}}, 0, nil, 1007},
		rfcCase{"6.4.2 invalid in the second fragment", []frame{{first: text, payload: []byte(greek + "\xf4")}, {first: cont, payload: []byte("\x90")}}, 0, nil, 1007},
		rfcCase{"6.4.3 a rune lacks its end", []frame{{first: text, payload: []byte(greek)}, {first: fin | cont, payload: []byte("\xf0\x9f")}}, 0, nil, 1007},
		rfcCase{"6.4.4 invalid in a binary", []frame{{first: fin | binaryFrame, payload: []byte("\xff")}}, 0, []string{unsupported}, 0},
	)
}

func closes() (cases []rfcCase) { // 7
	end := func(p []byte) frame { return frame{first: fin | closeFrame, payload: p} }
	good := frame{first: fin | text, payload: []byte(echo("a"))}
	cases = []rfcCase{
		{"7.1.1 message, then close", []frame{good, end(closing(1000, ""))}, 0, nil, 1000},
		{"7.1.2 two closes", []frame{end(closing(1000, "")), end(closing(1001, ""))}, 0, nil, 1000},
		{"7.1.3 ping after close", []frame{end(closing(1000, "")), {first: fin | pingFrame}}, 0, nil, 1000},
		{"7.1.4 text after close", []frame{end(closing(1000, "")), good}, 0, nil, 1000},
		{"7.1.5 close in a message", []frame{{first: text, payload: []byte("a")}, end(closing(1000, "")), {first: fin | cont}}, 0, nil, 1000},
		{"7.3.1 close without payload", []frame{end(nil)}, 0, nil, 1005},
		{"7.3.2 close with one byte", []frame{end([]byte{3})}, 0, nil, 1002},
		{"7.3.3 close with a code", []frame{end(closing(1000, ""))}, 0, nil, 1000},
		{"7.3.4 close with a reason", []frame{end(closing(1000, "Hello World!"))}, 0, nil, 1000},
		{"7.3.5 close with 123 bytes of reason", []frame{end(closing(1000, strings.Repeat("*", 123)))}, 0, nil, 1000},
		{"7.3.6 close with 124 bytes of reason", []frame{end(closing(1000, strings.Repeat("*", 124)))}, 0, nil, 1002},
		{"7.3.7 close in pieces", []frame{end(closing(1000, "Hello World!"))}, 1, nil, 1000},
		{"7.5.1 reason is no UTF-8", []frame{end(closing(1000, "κόσμε\xed\xa0\x80"))}, 0, nil, 1007},
	}
	for i, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		cases = append(cases, rfcCase{fmt.Sprintf("7.7.%d close with %d", i+1, code), []frame{end(closing(code, "x"))}, 0, nil, code})
	}
	for i, code := range []int{0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		cases = append(cases, rfcCase{fmt.Sprintf("7.9.%d close with %d", i+1, code), []frame{end(closing(code, ""))}, 0, nil, 1002})
	}
	return cases
}

// TestRFC6455 sends frames as RFC 6455 allows and forbids them, over sockets that the hub reads without
// waiting, and over TLS. The replies to messages before a violation are sent.
func TestRFC6455(t *testing.T) {
	for name, dial := range map[string]func(hub *Hub) func(t testing.TB) *rawClient{
		"TCP": func(hub *Hub) func(t testing.TB) *rawClient {
			url := serve(t, hub)
			return func(t testing.TB) *rawClient { return rawDial(t, url) }
		},
		"TLS": func(hub *Hub) func(t testing.TB) *rawClient { return serveTLS(t, hub) },
	} {
		dialed := dial(quiet(Config{}))
		count := 0
		for _, section := range [][]rfcCase{framing(), pings(), reservedBits(), opcodes(), fragments(), texts(), closes()} {
			for _, c := range section {
				count++
				t.Run(name+" "+c.name, func(t *testing.T) {
					t.Parallel()
					c.run(dialed(t))
				})
			}
		}
		assert.GreaterOrEqual(t, count, 250)
	}
}

// serveTLS serves a hub over TLS. It returns a function that connects to it.
func serveTLS(t *testing.T, hub *Hub) func(t testing.TB) *rawClient {
	server := httptest.NewTLSServer(hub)
	t.Cleanup(func() {
		shutDown(t, hub)
		server.Close()
	})
	config := server.Client().Transport.(*http.Transport).TLSClientConfig
	return func(t testing.TB) *rawClient {
		conn, err := tls.Dial("tcp", server.Listener.Addr().String(), config)
		require.NoError(t, err)
		return shakeHands(t, conn)
	}
}

func (c *rfcCase) run(client *rawClient) {
	sent, want := joined(c.sent...), c.want
	done := func([]reply) bool { return false }
	if c.code == 0 { // the connection works on
		sent = append(sent, frame{first: fin | pingFrame, payload: []byte("works")}.bytes()...)
		want = append(want[:len(want):len(want)], "pong works")
		messages := len(c.want) - pongs(c.want)
		done = func(got []reply) bool {
			return slices.Contains(got, reply{pongOp, "works"}) && messages == len(slices.DeleteFunc(slices.Clone(got), func(r reply) bool { return r.opcode == pongOp }))
		}
	}
	var got []string
	code := 0
	for _, r := range client.converse(sent, c.pieces, done) {
		switch r.opcode {
		case pongOp:
			got = append(got, "pong "+r.payload)
		case closeFrame:
			assert.Zero(client.t, code, "a second close frame")
			code = 1005
			if len(r.payload) > 0 {
				code = int(r.payload[0])<<8 | int(r.payload[1])
			}
			_ = client.conn.(interface{ CloseWrite() error }).CloseWrite()
		default:
			got = append(got, r.payload)
		}
	}
	assert.Equal(client.t, c.code, code, "close code")
	if c.code >= 1000 && c.code != 1002 && c.code != 1007 && c.code != 1009 && len(c.want) == 0 {
		return // the client has closed: what it still gets is open
	}
	// Pongs go ahead of replies, and one stands for those before it (section 5.5.3).
	if pongs(want) <= 1 {
		assert.ElementsMatch(client.t, want, got)
		return
	}
	for _, g := range got {
		assert.Contains(client.t, want, g)
	}
	for _, w := range want {
		if !strings.HasPrefix(w, "pong ") {
			assert.Contains(client.t, got, w)
		}
	}
}

func pongs(all []string) (n int) {
	for _, s := range all {
		if strings.HasPrefix(s, "pong ") {
			n++
		}
	}
	return n
}
