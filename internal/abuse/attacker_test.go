package abuse

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The environment of a process that attacks.
const (
	attackVariable   = "ROHRPOST_ATTACK" // the name
	addressVariable  = "ROHRPOST_ADDRESS"
	durationVariable = "ROHRPOST_DURATION"
)

// TestMain lets the binary of the tests be the attacker.
func TestMain(m *testing.M) {
	name := os.Getenv(attackVariable)
	if name == "" {
		os.Exit(m.Run())
	}
	duration, _ := time.ParseDuration(os.Getenv(durationVariable))
	for _, a := range attacks {
		if a.name == name {
			fmt.Println(a.run(os.Getenv(addressVariable), duration))
			os.Exit(0)
		}
	}
	os.Exit(2)
}

// run attacks for a while. It returns how often the attack went through.
func (a *attack) run(address string, duration time.Duration) int64 {
	ctx, cancel := context.WithTimeout(context.Background(), duration)
	defer cancel()
	var through atomic.Int64
	var all sync.WaitGroup
	for i := range a.conns {
		all.Go(func() {
			c := &client{ctx: ctx, address: address, number: i, through: &through}
			a.attack(c)
			<-ctx.Done()
			c.close()
		})
	}
	all.Wait()
	return through.Load()
}

// client is a connection of the attacker.
type client struct {
	ctx     context.Context
	address string
	number  int
	through *atomic.Int64
	conn    net.Conn
	in      *bufio.Reader
	gone    atomic.Bool
}

func (c *client) close() {
	if c.conn != nil {
		_ = c.conn.Close()
	}
}

// dial connects, and sends a handshake with headers. It returns the status.
func (c *client) dial(headers ...string) int {
	c.close()
	conn, err := net.Dial("tcp", c.address)
	if err != nil {
		return 0
	}
	c.conn, c.in = conn, bufio.NewReader(conn)
	if deadline, ok := c.ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	host := "Host: 127.0.0.1"
	for _, h := range headers {
		if strings.HasPrefix(h, "Host: ") {
			host = h
		}
	}
	request := "GET / HTTP/1.1\r\n" + host + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	for _, h := range headers {
		if h != host {
			request += h + "\r\n"
		}
	}
	if _, err := io.WriteString(conn, request+"\r\n"); err != nil {
		return 0
	}
	status := 0
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return 0
		}
		if status == 0 && len(line) > 12 {
			status, _ = strconv.Atoi(line[9:12])
		}
		if line == "\r\n" {
			return status
		}
	}
}

// open is dial for an attack on an open connection, whose client reads.
func (c *client) open(headers ...string) bool {
	if c.dial(headers...) != 101 {
		return false
	}
	go func() { _, _ = io.Copy(io.Discard, c.in) }()
	return true
}

// frame is a frame with a mask of zeros, which leaves the payload as it is.
func frame(first byte, payload string) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	return append(append(b, 0, 0, 0, 0), payload...)
}

// flood sends frames again and again, a pack at a time, and counts those that the hub has
// taken.
func (c *client) flood(frames ...[]byte) {
	var pack []byte
	count := 0
	for len(pack) < 16<<10 {
		for _, f := range frames {
			pack = append(pack, f...)
			count++
		}
	}
	for c.ctx.Err() == nil {
		if _, err := c.conn.Write(pack); err != nil {
			return
		}
		c.through.Add(int64(count))
	}
}

// each sends a frame that make returns, again and again.
func (c *client) each(make func(i int) []byte) {
	for i := 0; c.ctx.Err() == nil; i++ {
		if _, err := c.conn.Write(make(i)); err != nil {
			return
		}
		c.through.Add(1)
	}
}

// stays counts a connection that is open at the end of the attack.
func (c *client) stays() {
	_ = c.conn.SetReadDeadline(time.Time{})
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		head := make([]byte, 2)
		for {
			if _, err := io.ReadFull(c.in, head); err != nil || head[0] == 0x88 {
				return
			}
			if _, err := io.CopyN(io.Discard, c.in, int64(head[1]&0x7F)); err != nil {
				return
			}
		}
	}()
	select {
	case <-closed:
	case <-c.ctx.Done():
		c.through.Add(1)
	}
}
