package rohrpost

import (
	"math"
	"time"

	"github.com/gorilla/websocket"
)

// write is the writer: the only goroutine that sends, until the farewell is
// said or a write fails.
func (c *Conn) write() {
	defer c.tasks.Done()
	defer close(c.wrote)
	timer := time.NewTimer(math.MaxInt64)
	defer timer.Stop()
	ping := time.Now().Add(c.pingInterval())
	for {
		now := time.Now()
		if c.user.expired(now) {
			c.end(closeExpired, "identity expired", true)
		}
		if !now.Before(ping) {
			ping = now.Add(c.pingInterval())
			if c.ws.WriteControl(websocket.PingMessage, nil, c.writeDeadline(nil)) != nil {
				c.cut()
				return
			}
		}
		if out, ok := c.queue.next(); ok {
			if !c.writeOut(out) {
				return
			}
			continue
		}
		timer.Reset(c.pause(ping))
		select {
		case <-c.queue.wake:
		case <-timer.C:
		}
	}
}

// writeOut writes one thing and reports whether more may follow.
func (c *Conn) writeOut(out outgoing) bool {
	var err error
	by := c.writeDeadline(out.farewell)
	switch {
	case out.pong:
		err = c.ws.WriteControl(websocket.PongMessage, out.data, by)
	case out.frame.payload != nil:
		_ = c.ws.SetWriteDeadline(by) // never fails
		err = out.frame.write(c.ws)
		c.queue.written(out.frame)
	default:
		f := out.farewell
		err = c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(f.code, f.reason), by)
		if err == nil {
			c.lastCall()
			return false
		}
	}
	if err != nil {
		c.cut()
	}
	return err == nil
}

// writeDeadline returns when a write that starts now must be done. All that is
// written in the end shares one deadline: a connection that hardly reads
// cannot hold up a shutdown.
func (c *Conn) writeDeadline(f *farewell) time.Time {
	if f != nil {
		return f.by
	}
	return deadline(c.hub.config.WriteTimeout)
}

// pause returns how long the writer may sleep.
func (c *Conn) pause(ping time.Time) time.Duration {
	d := time.Until(ping)
	if e := c.user.Expires; !e.IsZero() {
		d = min(d, time.Until(e))
	}
	return d
}

// pingInterval returns the time between two pings, a very long one for none.
func (c *Conn) pingInterval() time.Duration {
	if d := c.hub.config.PingInterval; d > 0 {
		return d
	}
	return 100 * 365 * 24 * time.Hour
}
