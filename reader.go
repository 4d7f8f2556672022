package rohrpost

import (
	"io"
	"net"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// closeTimeout is how long the other end has to answer our close frame. If we
// closed the TCP connection at once, bytes that are still on their way to us
// could make the other end lose the close code.
const closeTimeout = 5 * time.Second

// read is the reader: it owns the connection and takes it down in the end.
func (c *Conn) read() {
	defer c.hub.exit()
	err := c.readFrames()
	c.handOver()
	c.partWith(err)
	c.cut()
	c.hub.remove(c)
	c.out.kill()
	c.tasks.Wait()
}

// readFrames hands messages to the inbox until the connection fails or the
// other end closes it. When we close it, it goes on and throws them away.
func (c *Conn) readFrames() error {
	if err := c.alive(); err != nil {
		return err
	}
	c.ws.SetReadLimit(max(c.hub.config.MaxMessageBytes, 0)) // 0: no limit
	c.ws.SetCloseHandler(func(int, string) error { return nil })
	c.ws.SetPongHandler(func(string) error { return c.alive() })
	c.ws.SetPingHandler(func(data string) error {
		_ = c.pushFrame(wire.PongFrame(data)) // or the connection ends
		return c.alive()
	})
	for {
		if c.reader.Buffered() == 0 && c.feed.Empty() {
			c.handOver()
			// Here the stack is shallow, and stays small while nothing comes.
			if err := c.feed.Wait(); err != nil {
				return err
			}
		}
		kind, r, err := c.ws.NextReader()
		if err != nil {
			return err
		}
		if err := c.alive(); err != nil {
			return err
		}
		if c.ctx.Err() != nil {
			continue // NextReader skips what is left
		}
		data, err := c.hub.buffers.ReadAll(r)
		if err != nil {
			return err
		}
		if kind == websocket.TextMessage && !utf8.Valid(data) {
			c.end(websocket.CloseInvalidFramePayloadData, "invalid UTF-8", false)
			continue
		}
		if err := c.accept(inbound{data: data, binary: kind == websocket.BinaryMessage}); err != nil {
			return err
		}
	}
}

// accept queues a message for the runner, and waits when the inbox is full: a
// connection that asks faster than it is answered is read slower.
func (c *Conn) accept(in inbound) error {
	room := c.inbox.put(in)
	c.accepted = true
	if room == nil {
		return nil
	}
	c.handOver()
	select {
	case <-room:
	case <-c.ctx.Done():
	}
	return c.alive() // it was not the other end that took its time
}

// handOver lets the runner see what has been accepted. The reader calls it when
// it has read all that was there: what came together is handled together, and
// its replies leave together.
func (c *Conn) handOver() {
	if !c.accepted {
		return
	}
	c.accepted = false
	if c.inbox.begin() {
		c.tasks.Go(c.run)
	}
}

// partWith does what the end of reading asks for, before the TCP connection is
// closed.
func (c *Conn) partWith(err error) {
	switch err := err.(type) { // they are not wrapped, and errors.As costs as much as a write
	case *websocket.CloseError:
		if err.Code != websocket.CloseAbnormalClosure { // that is a plain end of file
			c.end(err.Code, "", true) // answer with the code that came
			<-c.wrote
		}
	case net.Error: // dead or cut
	default:
		if err != io.EOF { // gone without a word
			c.linger()
		}
	}
}

// linger lets a close frame arrive that was sent because what came was no
// WebSocket, or too large.
func (c *Conn) linger() {
	c.end(websocket.CloseProtocolError, "", true)
	<-c.wrote
	conn := c.out.socket
	if half, ok := conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() != nil {
		return
	}
	if conn.SetReadDeadline(time.Now().Add(closeTimeout)) == nil {
		_, _ = io.Copy(io.Discard, conn) // until the other end hangs up, or the deadline
	}
}
