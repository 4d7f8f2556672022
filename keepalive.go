package rohrpost

import (
	"time"

	"github.com/rohrpost/rohrpost/internal/wire"
)

// tick pings the client, and closes the connection when its identity expires.
func (c *Conn) tick() {
	switch now := time.Now(); {
	case c.member.Ended():
		return
	case c.identity.expired(now):
		c.member.End(wire.CloseExpired, "identity expired", true)
		return
	case !now.Before(c.nextPing):
		c.nextPing = now.Add(c.pingInterval())
		_ = c.pushFrame(wire.PingFrame()) // or the connection ends
	}
	c.timer.Reset(c.nextTick())
}

// nextTick returns the time until the next ping or the end of the identity.
func (c *Conn) nextTick() time.Duration {
	d := time.Until(c.nextPing)
	if e := c.identity.Expires; !e.IsZero() {
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

// keepAlive moves the read deadline after a frame has come. It belongs to the reader.
// Moving the deadline costs more than reading a small frame: so it stays if it was moved
// less than a 64th of IdleTimeout ago.
func (c *Conn) keepAlive() error {
	timeout := c.hub.config.Limits.IdleTimeout
	if timeout < 0 {
		return nil
	}
	now := time.Now()
	if now.Sub(c.lastFrame) < timeout/64 {
		return nil
	}
	c.lastFrame = now
	c.deadline.Lock()
	defer c.deadline.Unlock()
	if c.closing {
		return nil
	}
	return c.ws.SetReadDeadline(now.Add(timeout))
}
