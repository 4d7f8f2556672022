package rohrpost

import (
	"errors"
	"io"
	"net"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
	"github.com/rohrpost/rohrpost/internal/lazyctx"
	"github.com/rohrpost/rohrpost/internal/panics"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// closeTimeout is the time that the client has to answer the hub's close frame. If the
// hub closed the TCP connection at once, bytes that are still on their way to it could
// make the client lose the close code.
const closeTimeout = 5 * time.Second

// read is the reader. It owns the connection and closes it at the end.
func (c *Conn) read() {
	defer c.hub.conns.release()
	c.begin()
	err := c.readFrames()
	c.startDispatch()
	c.finishClose(err)
	c.member.Abort()
	code, _ := c.member.EndReason()
	c.hub.counters.end(code)
	c.member.Close()
	c.tasks.Wait()
	c.hub.conns.remove(c, c.user())
	if c.connected {
		c.runOnDisconnect()
	}
}

// begin calls Config.OnConnect in the place of dispatch, so that no request is handled
// before it has returned.
func (c *Conn) begin() {
	if c.hub.config.OnConnect == nil || c.member.Ended() {
		c.connected = c.hub.config.OnDisconnect != nil && !c.member.Ended()
		return
	}
	if c.inbox.claimDispatch() { // the reader has started none yet
		c.tasks.Go(func() {
			c.connected = c.runOnConnect() && c.hub.config.OnDisconnect != nil
			c.dispatch()
		})
	}
}

// readFrames hands messages to the inbox until the connection fails or the client
// closes it. After the hub has closed it, readFrames goes on and drops messages.
func (c *Conn) readFrames() error {
	if err := c.keepAlive(); err != nil {
		return err
	}
	c.ws.SetReadLimit(max(c.hub.config.Limits.MaxMessageBytes, 0)) // 0: no limit
	c.ws.SetCloseHandler(func(int, string) error { return nil })
	c.ws.SetPongHandler(func(string) error { return c.keepAlive() })
	c.ws.SetPingHandler(func(data string) error {
		c.member.Pong(data)
		return c.keepAlive()
	})
	for {
		if c.socket.idle() {
			c.startDispatch()
			// Here the stack is shallow, and stays small while nothing comes.
			if err := c.socket.reader.Wait(); err != nil {
				return err
			}
		}
		kind, r, err := c.ws.NextReader()
		if err != nil {
			return err
		}
		if err := c.keepAlive(); err != nil {
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
			c.member.End(wire.CloseInvalidPayload, "invalid UTF-8", false)
			continue
		}
		if err := c.accept(inbound{data: data, binary: kind == websocket.BinaryMessage}); err != nil {
			return err
		}
	}
}

// accept puts a message into the inbox, unless it is a heartbeat. It waits while the inbox is full: a client that
// asks faster than the hub answers is read more slowly.
func (c *Conn) accept(in inbound) error {
	if c.answerHeartbeat(in) {
		return nil
	}
	room := c.inbox.put(in)
	c.accepted = true
	if room == nil {
		return nil
	}
	c.startDispatch()
	select {
	case <-room:
	case <-c.ctx.Done():
	}
	return c.keepAlive() // the client did not cause the delay
}

// startDispatch lets dispatch see what was accepted. The reader calls it when it has
// read everything that has come: what came together is handled together, and its
// replies leave together.
func (c *Conn) startDispatch() {
	if !c.accepted {
		return
	}
	c.accepted = false
	if c.inbox.claimDispatch() {
		c.tasks.Go(c.dispatch)
	}
}

// protocolError closes the connection, in place of what waits.
func (c *Conn) protocolError(code int, reason string) { c.member.End(code, reason, true) }

// finishClose does what the end of reading asks for, before the TCP connection is
// closed.
func (c *Conn) finishClose(err error) {
	switch err := err.(type) { // the errors are not wrapped, and errors.As costs as much as a write
	case *websocket.CloseError:
		if err.Code != wire.CloseAbnormal { // that is a plain end of file
			c.clientReason = err.Text
			c.member.End(err.Code, "", true) // answer with the code that came
			<-c.member.Flushed()
		}
	case net.Error: // timed out or aborted
	default:
		if err != io.EOF {
			c.linger()
		}
	}
}

// linger lets a close frame arrive that answers a violation of the protocol.
func (c *Conn) linger() {
	c.member.End(wire.CloseProtocolError, "", true)
	<-c.member.Flushed()
	conn := c.socket.Conn
	if half, ok := conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() != nil {
		return
	}
	if conn.SetReadDeadline(time.Now().Add(closeTimeout)) == nil {
		_, _ = io.Copy(io.Discard, conn) // until the client closes, or the deadline
	}
}

// runOnConnect calls Config.OnConnect before dispatch handles the first message. It
// reports whether the connection goes on.
func (c *Conn) runOnConnect() bool {
	ctx := lazyctx.New(c.ctx, c.hub.config.Limits.RequestTimeout)
	defer ctx.End()
	err := panics.Isolate(func() error { return c.hub.config.OnConnect(ctx, c) })
	if err == nil {
		return true
	}
	code, reason := wire.CloseForbidden, unauthorizedReason(err)
	_, readable := readable(err)
	switch {
	case errors.Is(err, ErrUnavailable):
		code = wire.CloseTryAgainLater
	case !readable:
		code, reason = wire.CloseInternalError, "internal error"
	}
	if c.ctx.Err() == nil && code != wire.CloseForbidden {
		c.hub.log.Error("rohrpost: open a connection", "user", c.user(), "error", err)
	}
	c.member.End(code, reason, true)
	return false
}

// runOnDisconnect calls Config.OnDisconnect when nothing of the connection runs any more.
func (c *Conn) runOnDisconnect() {
	code, reason := c.member.EndReason()
	switch {
	case code == 0:
		code = wire.CloseAbnormal
	case reason == "":
		reason = c.clientReason
	}
	err := panics.Isolate(func() error {
		c.hub.config.OnDisconnect(c, code, reason)
		return nil
	})
	if err != nil {
		c.hub.log.Error("rohrpost: call OnDisconnect", "user", c.user(), "error", err)
	}
}
