package rohrpost

import (
	"context"
	"time"

	"github.com/rohrpost/rohrpost/internal/wire"
)

// never is a time to which no connection lasts.
const never = 100 * 365 * 24 * time.Hour

// identityTimeout is the time in which a client must authenticate, with
// Config.RequireIdentity.
const identityTimeout = 10 * time.Second

// tick pings the client, rechecks its memberships, tells it that its identity expires, and
// closes the connection when it has expired, or did not come in time.
func (c *Conn) tick() {
	now, who := time.Now(), c.credentials.Load()
	switch {
	case c.member.Ended():
		return
	case who.expired(now):
		c.member.End(wire.CloseExpired, "identity expired", true)
		return
	case c.needsIdentity(who) && now.Sub(c.opened) >= identityTimeout:
		c.hub.counters.refused.add(wire.CodeIdentityRequired)
		c.member.End(wire.CloseUnauthorized, "identity required", true)
		return
	}
	if c.noticeDue(who, now) {
		who.noticed.Store(true)
		_ = c.pushFrame(expiringFrame(who.Expires.Sub(now))) // or the connection ends
	}
	if !now.Before(c.nextPing) {
		c.nextPing = now.Add(c.pingInterval())
		_ = c.pushFrame(wire.PingFrame()) // or the connection ends
	}
	if c.untilRecheck() <= 0 {
		c.hub.enforcer.PutOff((*subject)(c)) // until then the task below has begun
		c.hub.tasks.Go(func(ctx context.Context) { c.hub.enforcer.RecheckDue(ctx, (*subject)(c)) })
	}
	c.timer.Reset(c.nextTick())
}

// nextTick returns the time until tick has something to do.
func (c *Conn) nextTick() time.Duration {
	d := min(time.Until(c.nextPing), c.untilRecheck())
	who := c.credentials.Load()
	if e := who.Expires; !e.IsZero() {
		d = min(d, time.Until(e))
	}
	if c.needsIdentity(who) {
		d = min(d, time.Until(c.opened.Add(identityTimeout)))
	}
	if c.wanted().expiring && !who.notice.IsZero() && !who.noticed.Load() {
		d = min(d, time.Until(who.notice))
	}
	return d
}

// untilRecheck returns the time until the next recheck, zero or less if it is due.
func (c *Conn) untilRecheck() time.Duration {
	return time.Duration(c.nextRecheck.Load()) - time.Since(c.hub.began)
}

func (c *Conn) needsIdentity(who *credentials) bool {
	return c.hub.config.RequireIdentity && who.ID == ""
}

func (c *Conn) noticeDue(who *credentials, now time.Time) bool {
	return c.wanted().expiring && !who.notice.IsZero() && !who.noticed.Load() && !now.Before(who.notice)
}

// pingInterval returns the time between two pings, a very long one for none.
func (c *Conn) pingInterval() time.Duration {
	if d := c.hub.config.PingInterval; d > 0 {
		return d
	}
	return never
}

// keepAlive moves the read deadline after a frame has come. It belongs to the reader.
// Moving the deadline costs more than reading a small frame: so it stays if it was moved
// less than a 64th of IdleTimeout ago.
func (c *Conn) keepAlive(now time.Time) error {
	timeout := c.hub.config.Limits.IdleTimeout
	if timeout < 0 || now.Sub(c.lastFrame) < timeout/64 {
		return nil
	}
	c.lastFrame = now
	c.deadline.Lock()
	defer c.deadline.Unlock()
	if c.closing || !c.messageBy.IsZero() {
		return nil
	}
	return c.socket.SetReadDeadline(now.Add(timeout))
}

// limitMessage sets the deadline of a frame, or a message, of which only a part has come.
// Other frames in between do not move it.
func (c *Conn) limitMessage() {
	timeout := c.hub.config.Limits.MessageTimeout
	c.deadline.Lock()
	defer c.deadline.Unlock()
	if timeout < 0 || c.closing || !c.messageBy.IsZero() {
		return
	}
	c.messageBy = time.Now().Add(timeout)
	_ = c.socket.SetReadDeadline(c.messageBy) // fails only if it is closed
}

// messageDone takes back limitMessage.
func (c *Conn) messageDone() {
	c.deadline.Lock()
	defer c.deadline.Unlock()
	if c.messageBy.IsZero() {
		return
	}
	c.messageBy = time.Time{}
	if c.closing {
		return
	}
	var by time.Time
	if timeout := c.hub.config.Limits.IdleTimeout; timeout >= 0 {
		by = time.Now().Add(timeout)
	}
	_ = c.socket.SetReadDeadline(by) // fails only if it is closed
}

// isLate reports whether a message is not whole in time.
func (c *Conn) isLate() bool {
	c.deadline.Lock()
	defer c.deadline.Unlock()
	return !c.closing && !c.messageBy.IsZero() && !time.Now().Before(c.messageBy)
}
