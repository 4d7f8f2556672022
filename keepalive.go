package rohrpost

import (
	"errors"
	"os"
	"time"

	"github.com/rohrpost/rohrpost/internal/wire"
)

// tick pings the other end, and ends the connection when its identity expires.
func (c *Conn) tick() {
	switch now := time.Now(); {
	case c.ending.Load() != nil:
		return
	case c.user.expired(now):
		c.end(closeExpired, "identity expired", true)
		return
	case !now.Before(c.nextPing):
		c.nextPing = now.Add(c.pingInterval())
		_ = c.pushFrame(wire.PingFrame()) // or the connection ends
	}
	c.timer.Reset(c.pause())
}

// pause returns how long nothing has to be done.
func (c *Conn) pause() time.Duration {
	d := time.Until(c.nextPing)
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

// writeDeadline returns when a write that starts now must be done. All that is
// written in the end shares one deadline: a connection that hardly reads cannot
// hold up a shutdown.
func (c *Conn) writeDeadline() time.Time {
	if f := c.ending.Load(); f != nil {
		return f.by
	}
	return deadline(c.hub.config.WriteTimeout)
}

// tooOld reports whether something has waited too long to be written.
func (c *Conn) tooOld(since time.Time) bool {
	age := c.hub.config.SendQueueAge
	return age >= 0 && c.ending.Load() == nil && time.Since(since) > age
}

// stalled ends a connection that cannot be written to.
func (c *Conn) stalled(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) && c.ending.Load() == nil {
		c.logSlow("cutting a connection that takes nothing")
	}
	c.cut()
}

// alive moves the read deadline: a frame has come. It is the reader's. To move
// the deadline costs more than to read a small frame; so it stays when it was
// moved less than a 64th of DeadAfter ago.
func (c *Conn) alive() error {
	dead := c.hub.config.DeadAfter
	if dead < 0 {
		return nil
	}
	now := time.Now()
	if now.Sub(c.heard) < dead/64 {
		return nil
	}
	c.heard = now
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.leaving {
		return nil
	}
	return c.ws.SetReadDeadline(now.Add(dead))
}

// lastCall sets the read deadline for good: we have said farewell.
func (c *Conn) lastCall() {
	c.reading.Lock()
	defer c.reading.Unlock()
	c.leaving = true
	_ = c.ws.SetReadDeadline(time.Now().Add(closeTimeout)) // fails only if it is closed
}
