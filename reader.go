package rohrpost

import (
	"errors"
	"io"
	"net"
	"runtime"
	"time"

	"github.com/rohrpost/rohrpost/internal/budget"
	"github.com/rohrpost/rohrpost/internal/excess"
	"github.com/rohrpost/rohrpost/internal/frames"
	"github.com/rohrpost/rohrpost/internal/lazyctx"
	"github.com/rohrpost/rohrpost/internal/panics"
	"github.com/rohrpost/rohrpost/internal/wire"
)

const (
	// closeTimeout is the time that the client has to answer the hub's close frame. If the
	// hub closed the TCP connection at once, bytes that are still on their way to it could
	// make the client lose the close code.
	closeTimeout = 5 * time.Second

	// settleTimeout is the time that the requests before a violation of the protocol have
	// for their replies.
	settleTimeout = time.Second

	// hangUpTime is how long a client that has exceeded a limit has for taking the close
	// frame, before the TCP connection is reset since its bytes were not read.
	hangUpTime = time.Second

	// maxLinger is the bytes that the hub reads, after a violation of the protocol, to let
	// its close frame arrive.
	maxLinger = 256 << 10
)

// read is the reader. It owns the connection and closes it at the end.
func (c *Conn) read() {
	defer c.hub.conns.Release()
	c.begin()
	c.hub.readers.Take()
	err := panics.Guard(c.readFrames) // the socket may be the program's code
	c.hub.readers.Leave()
	c.startDispatch()
	c.finishClose(err)
	c.member.Abort()
	c.place.Free() // the socket is gone, whatever the program's code still does for it
	code, _ := c.member.EndReason()
	c.hub.counters.end(code)
	c.member.Close()
	c.tasks.Wait()
	c.hub.conns.Remove(c, c.user())
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

// clientClosed is the error of the reader after a close frame of the client.
type clientClosed struct {
	code   int
	reason string
}

func (c *clientClosed) Error() string { return "the client has closed the connection" }

// readFrames hands messages to the inbox until the connection fails or the client
// closes it. After the hub has closed it, readFrames goes on and drops messages.
func (c *Conn) readFrames() error {
	c.frames = frames.NewReader((*source)(c), c.hub.config.Limits.MaxMessageBytes)
	if err := c.keepAlive(time.Now()); err != nil {
		return err
	}
	for {
		// Here the stack is shallow, and stays small while nothing comes.
		if err := c.await(); err != nil {
			return err
		}
		if e := c.exceeded.Load(); e != nil {
			return e
		}
		h, err := c.frames.Next()
		if err != nil {
			return err
		}
		now := time.Now()
		if err := c.charge(&h, now); err != nil {
			return err
		}
		if h.IsControl() {
			err = c.control(h)
		} else {
			err = c.data(h)
		}
		if !c.frames.Partial() {
			c.messageDone()
		}
		if err == nil {
			err = c.keepAlive(now)
		}
		if err != nil {
			return err
		}
	}
}

// await waits until something has come.
func (c *Conn) await() error {
	reader := &c.socket.reader
	if !reader.Empty() {
		return nil
	}
	if c.frames.Partial() {
		c.limitMessage()
	}
	c.leaveTurn()
	defer c.takeTurn()
	return reader.Wait()
}

// charge charges a frame before its payload is read. Over a budget of messages or bytes it
// stops reading for a while, then closes the connection.
func (c *Conn) charge(h *frames.Header, now time.Time) error {
	pause, over := c.uses.Take(now.Sub(c.hub.began), int(h.Length)+h.Size, h.IsControl(), &c.hub.rates)
	if over != budget.Within {
		return c.cut(excess.Of(over))
	}
	if pause == 0 {
		return nil
	}
	c.leaveTurn()
	defer c.takeTurn()
	select {
	case <-time.After(pause):
	case <-c.ctx.Done():
	}
	return nil
}

// leaveTurn lets other readers run before this one waits: what has come is handled.
func (c *Conn) leaveTurn() {
	c.startDispatch()
	c.hub.readers.Leave()
}

// takeTurn ends leaveTurn. Where much comes, it lets others run: the reader and dispatch wake
// each other, and the scheduler prefers a goroutine that was woken to all that wait.
func (c *Conn) takeTurn() {
	c.hub.readers.Take() // first, so that few are queued beside workers
	if c.socket.reader.Filled() {
		runtime.Gosched()
	}
}

// source is a Conn from which package frames reads.
type source Conn

// Read implements io.Reader, in the middle of a frame.
func (s *source) Read(p []byte) (int, error) {
	c := (*Conn)(s)
	if !c.socket.reader.Empty() {
		return c.socket.reader.Read(p)
	}
	c.limitMessage()
	c.leaveTurn()
	defer c.takeTurn()
	return c.socket.reader.Read(p)
}

// control handles a control frame.
func (c *Conn) control(h frames.Header) error {
	payload, err := c.frames.Control(h)
	if err != nil {
		return err
	}
	switch h.Opcode {
	case frames.Close:
		code, err := frames.ParseClose(payload)
		if err != nil {
			return err
		}
		return &clientClosed{code, string(payload[min(2, len(payload)):])}
	case frames.Ping:
		c.member.Pong(string(payload))
	}
	return nil
}

// data handles a frame of a message.
func (c *Conn) data(h frames.Header) error {
	opcode, message, done, err := c.frames.Data(h)
	if err != nil || !done {
		return err
	}
	if c.ctx.Err() != nil {
		return nil
	}
	c.accept(inbound{data: message, binary: opcode == frames.Binary})
	return nil
}

// accept puts a message into the inbox, unless it is a heartbeat. It waits while the inbox is full: a client that
// asks faster than the hub answers is read more slowly.
func (c *Conn) accept(in inbound) {
	if c.answerHeartbeat(in) {
		return
	}
	c.hub.pressure.Add(len(in.data))
	room := c.inbox.put(in)
	c.accepted = true
	if room == nil {
		return
	}
	c.leaveTurn()
	defer c.takeTurn()
	select {
	case <-room:
	case <-c.ctx.Done():
	}
	c.lastFrame = time.Time{} // the client did not cause the delay: its deadline moves
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

// finishClose does what the end of reading asks for, before the TCP connection is
// closed.
func (c *Conn) finishClose(err error) {
	switch err := err.(type) { // the errors are not wrapped, and errors.As costs as much as a write
	case *clientClosed:
		c.clientReason = err.reason
		c.member.End(err.code, "", true) // answer with the code that came
		<-c.member.Flushed()
	case *frames.Violation:
		c.refuseFrames(err)
	case *excess.Excess:
		c.hangUp()
	case *panics.Error:
		c.hub.log.Error("rohrpost: read from a connection", "user", c.user(), "error", err)
	case net.Error:
		if c.isLate() {
			_ = c.cut(excess.MessageTime)
			c.hangUp()
		}
	}
}

// refuseFrames answers a violation of the protocol, after the requests before it.
func (c *Conn) refuseFrames(v *frames.Violation) {
	select {
	case <-c.inbox.idle():
	case <-c.ctx.Done():
	case <-time.After(settleTimeout):
	}
	c.member.End(v.Code, v.Reason, false)
	<-c.member.Flushed()
	if c.closeWrite() && c.socket.SetReadDeadline(time.Now().Add(closeTimeout)) == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(c.socket.Conn, maxLinger)) // until the client closes
	}
}

// closeWrite tells the client that nothing follows. It reports false if that fails.
func (c *Conn) closeWrite() bool {
	half, ok := c.socket.Conn.(interface{ CloseWrite() error })
	return !ok || half.CloseWrite() == nil
}

// cut closes the connection of a client that exceeds a limit. What waits is discarded, unless the client is told not
// to come again: then it may read why.
func (c *Conn) cut(e *excess.Excess) error {
	code, reason := e.Closing(retryAfter)
	c.exceeded.CompareAndSwap(nil, e)
	if c.member.End(code, reason, !e.Policy) {
		c.hub.counters.refused.add(e.Code)
		c.hub.log.Warn("rohrpost: close a connection that exceeds Limits."+e.Limit, "user", c.user(), "remote", c.remote())
	}
	return e
}

// hangUp lets the close frame arrive, and reads no more.
func (c *Conn) hangUp() {
	<-c.member.Flushed()
	if c.closeWrite() {
		time.Sleep(hangUpTime)
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
