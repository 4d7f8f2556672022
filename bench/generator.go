package main

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"
)

// patience is how long a server may be silent.
const patience = 10 * time.Second

// generator is many connections read by one thread, by epoll and without a
// goroutine for each: what it can take is far above what most servers give.
type generator struct {
	poller   int
	members  map[int32]*member
	conns    []net.Conn
	buffer   []byte
	received int
	ready    []int32 // connections for which something has come since they were looked at
}

// member is where the reading of a connection is.
type member struct {
	header  []byte // of a frame, as far as it has come
	skip    int    // what is left of a payload
	counted bool   // the payload holds messages

	received int // messages
	seen     int // of them by who measures how long they took
}

// newGenerator opens connections, says hello on each and waits for the answers.
func newGenerator(address string, count int, hello func(connection int) hello) (*generator, error) {
	poller, err := syscall.EpollCreate1(0)
	if err != nil {
		return nil, err
	}
	g := &generator{poller: poller, members: map[int32]*member{}, buffer: make([]byte, 256<<10)}
	answers := 0
	for i := range count {
		h := hello(i)
		if err := g.connect(address, h); err != nil {
			g.close()
			return nil, err
		}
		answers += len(h.frames)
	}
	for g.received < answers {
		if err := g.poll(patience); err != nil {
			g.close()
			return nil, fmt.Errorf("%d of %d answers: %w", g.received, answers, err)
		}
	}
	g.received = 0
	return g, nil
}

func (g *generator) connect(address string, h hello) error {
	conn, err := dialHello(address, h)
	if err != nil {
		return err
	}
	g.conns = append(g.conns, conn)
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(func(fd uintptr) {
		g.members[int32(fd)] = &member{}
		_ = syscall.EpollCtl(g.poller, syscall.EPOLL_CTL_ADD, int(fd), &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fd)})
	})
}

// hello is how a connection joins its groups: by the path it asks for, and by
// what it says. Each frame is answered.
type hello struct {
	path   string
	frames [][]byte
}

// dialHello opens a connection and says hello on it.
func dialHello(address string, h hello) (*net.TCPConn, error) {
	conn, err := net.Dial("tcp", address)
	if err == nil {
		err = conn.SetDeadline(time.Now().Add(patience))
	}
	if err != nil {
		return nil, err
	}
	_, err = io.WriteString(conn, "GET "+h.path+" HTTP/1.1\r\nHost: "+address+"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	if err != nil {
		return nil, err
	}
	response := make([]byte, 0, 1024)
	for !bytes.HasSuffix(response, []byte("\r\n\r\n")) { // nothing follows before we have said hello
		n, err := conn.Read(response[len(response):cap(response)])
		if err != nil || n == 0 {
			return nil, fmt.Errorf("handshake: %w: %s", cmp.Or(err, io.ErrShortBuffer), response)
		}
		response = response[:len(response)+n]
	}
	if !bytes.HasPrefix(response, []byte("HTTP/1.1 101")) {
		return nil, fmt.Errorf("handshake: %s", response)
	}
	var said []byte
	for _, frame := range h.frames {
		said = append(said, maskedFrame(frame)...)
	}
	_, err = conn.Write(said)
	return conn.(*net.TCPConn), errors.Join(err, conn.SetDeadline(time.Time{}))
}

// poll reads what has come, and waits for something if nothing has.
func (g *generator) poll(timeout time.Duration) error {
	g.ready = g.ready[:0]
	var events [256]syscall.EpollEvent
	n, err := syscall.EpollWait(g.poller, events[:], int(timeout.Milliseconds()))
	if errors.Is(err, syscall.EINTR) {
		return nil
	}
	if err != nil {
		return err
	}
	if n == 0 {
		return errors.New("nothing comes any more")
	}
	for _, event := range events[:n] {
		read, err := syscall.Read(int(event.Fd), g.buffer)
		if err != nil || read == 0 {
			return fmt.Errorf("a connection was closed: %v", err)
		}
		m, before := g.members[event.Fd], g.received
		g.count(m, g.buffer[:read])
		m.received += g.received - before
		g.ready = append(g.ready, event.Fd)
	}
	return nil
}

// count counts the messages in what was read: a frame is one, and one more for
// each line after the first.
func (g *generator) count(m *member, p []byte) {
	for len(p) > 0 {
		if m.skip > 0 {
			n := min(m.skip, len(p))
			if m.counted {
				g.received += bytes.Count(p[:n], []byte{'\n'})
			}
			m.skip -= n
			p = p[n:]
			continue
		}
		m.header = append(m.header, p[0])
		p = p[1:]
		if length, complete := payloadLength(m.header); complete {
			m.counted = m.header[0]&0x0f <= 2
			if m.counted && m.header[0]&0x80 != 0 {
				g.received++
			}
			m.skip, m.header = length, m.header[:0]
		}
	}
}

func payloadLength(header []byte) (length int, complete bool) {
	if len(header) < 2 {
		return 0, false
	}
	switch length := int(header[1] & 0x7f); {
	case length < 126:
		return length, true
	case length == 126:
		return int(binary.BigEndian.Uint16(append(header[2:len(header):len(header)], 0, 0))), len(header) == 4
	default:
		if len(header) < 10 {
			return 0, false
		}
		return int(binary.BigEndian.Uint64(header[2:])), true
	}
}

// maskedFrame is a text frame of at most 125 bytes, masked with zeros.
func maskedFrame(payload []byte) []byte {
	return append([]byte{0x81, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...)
}

func (g *generator) close() {
	for _, conn := range g.conns {
		_ = conn.Close()
	}
	_ = syscall.Close(g.poller)
}
