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

// responseTimeout limits the time without a message from the server.
const responseTimeout = 10 * time.Second

// generator reads many connections in one thread through epoll. Without a goroutine
// per connection it can receive far more than most servers send.
type generator struct {
	poller   int
	states   map[int32]*connState
	conns    []net.Conn
	buffer   []byte
	received int
	ready    []int32 // connections that the last poll has read
	writers  map[int32]*updateWriter
	arrived  func(read []byte) // gets what comes on the connections; may be nil
}

// connState is the parser state of a connection.
type connState struct {
	header      []byte // the bytes of an incomplete frame header
	payloadLeft int    // bytes left of the payload
	isData      bool   // the payload contains messages

	received int // messages
	timed    int // messages whose latency has been recorded
}

// newGenerator opens connections, to each address in turn, subscribes on each and waits
// for the replies.
func newGenerator(addresses []string, count int, subscribe func(connection int) subscription) (*generator, error) {
	poller, err := syscall.EpollCreate1(0)
	if err != nil {
		return nil, err
	}
	g := &generator{poller: poller, states: map[int32]*connState{}, buffer: make([]byte, 256<<10)}
	answers := 0
	for i := range count {
		sub := subscribe(i)
		if err := g.connect(addresses[i%len(addresses)], sub); err != nil {
			g.close()
			return nil, err
		}
		answers += len(sub.frames)
	}
	for g.received < answers {
		if err := g.poll(responseTimeout); err != nil {
			g.close()
			return nil, fmt.Errorf("%d of %d replies: %w", g.received, answers, err)
		}
	}
	g.received = 0
	return g, nil
}

func (g *generator) connect(address string, sub subscription) error {
	conn, err := dialSubscribed(address, sub)
	if err != nil {
		return err
	}
	g.conns = append(g.conns, conn)
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(func(fd uintptr) {
		g.states[int32(fd)] = &connState{}
		_ = syscall.EpollCtl(g.poller, syscall.EPOLL_CTL_ADD, int(fd), &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fd)})
	})
}

// subscription is how a connection joins its groups: by the path of its request and
// by frames. The server replies to each frame.
type subscription struct {
	path   string
	frames [][]byte
}

// dialSubscribed opens a connection and sends the frames of its subscription.
func dialSubscribed(address string, sub subscription) (*net.TCPConn, error) {
	conn, err := net.Dial("tcp", address)
	if err == nil {
		err = conn.SetDeadline(time.Now().Add(responseTimeout))
	}
	if err != nil {
		return nil, err
	}
	_, err = io.WriteString(conn, "GET "+sub.path+" HTTP/1.1\r\nHost: "+address+"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	if err != nil {
		return nil, err
	}
	response := make([]byte, 0, 1024)
	for !bytes.HasSuffix(response, []byte("\r\n\r\n")) { // the server sends nothing before the first frame
		n, err := conn.Read(response[len(response):cap(response)])
		if err != nil || n == 0 {
			return nil, fmt.Errorf("handshake: %w: %s", cmp.Or(err, io.ErrShortBuffer), response)
		}
		response = response[:len(response)+n]
	}
	if !bytes.HasPrefix(response, []byte("HTTP/1.1 101")) {
		return nil, fmt.Errorf("handshake: %s", response)
	}
	var frames []byte
	for _, frame := range sub.frames {
		frames = append(frames, maskedFrame(frame)...)
	}
	_, err = conn.Write(frames)
	return conn.(*net.TCPConn), errors.Join(err, conn.SetDeadline(time.Time{}))
}

// poll reads the available bytes of all connections. It waits for up to timeout if no
// connection has any.
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
		return errors.New("timeout: no connection received a message")
	}
	for _, event := range events[:n] {
		read, err := syscall.Read(int(event.Fd), g.buffer)
		if err != nil || read == 0 {
			return fmt.Errorf("the server closed a connection: %v", err)
		}
		if w := g.writers[event.Fd]; w != nil {
			if err := w.receive(g.buffer[:read]); err != nil {
				return err
			}
			continue
		}
		if g.arrived != nil {
			g.arrived(g.buffer[:read])
		}
		m, before := g.states[event.Fd], g.received
		g.countMessages(m, g.buffer[:read])
		m.received += g.received - before
		g.ready = append(g.ready, event.Fd)
	}
	return nil
}

// countMessages counts the messages in the bytes read. A frame contains one message
// per line.
func (g *generator) countMessages(m *connState, p []byte) {
	for len(p) > 0 {
		if m.payloadLeft > 0 {
			n := min(m.payloadLeft, len(p))
			if m.isData {
				g.received += bytes.Count(p[:n], []byte{'\n'})
			}
			m.payloadLeft -= n
			p = p[n:]
			continue
		}
		m.header = append(m.header, p[0])
		p = p[1:]
		if length, complete := payloadLength(m.header); complete {
			m.isData = m.header[0]&0x0f <= 2
			if m.isData && m.header[0]&0x80 != 0 {
				g.received++
			}
			m.payloadLeft, m.header = length, m.header[:0]
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

// maskedFrame returns a text frame, masked with zeros, for a payload of up to 125 bytes.
func maskedFrame(payload []byte) []byte {
	return append([]byte{0x81, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...)
}

func (g *generator) close() {
	for _, conn := range g.conns {
		_ = conn.Close()
	}
	_ = syscall.Close(g.poller)
}
