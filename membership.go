package rohrpost

import (
	"fmt"
	"slices"

	"github.com/rohrpost/rohrpost/internal/wire"
)

// membership is what a connection is in a part of a group.
type membership struct {
	place  int32 // among the members, plus 1; 0: its worker has yet to see to it
	wanted bool
}

// Join makes the connection a member of a group. It asks nobody: a handler that
// calls it has decided. To join twice is no error. Above Config.MaxGroups it
// returns an *Error, on a closed connection ErrClosed.
func (c *Conn) Join(name string) error {
	if !wire.ValidGroup(name) {
		return fmt.Errorf("join: malformed group name %.250q", name)
	}
	c.mu.Lock()
	var err error
	fresh := c.hub.groups.with(name, func(gr *group) {
		if err = c.mayJoin(gr); err != nil {
			return
		}
		if p, joins := c.join(gr); joins {
			c.worker.add(op{kind: opJoin, conn: c, part: p})
		}
	})
	c.mu.Unlock()
	if fresh != nil {
		c.hub.openGate(fresh)
	}
	return err
}

// mayJoin is called with the lock of the group's shard and of the connection.
func (c *Conn) mayJoin(gr *group) error {
	switch p := gr.part(c.worker); {
	case c.gone:
		return ErrClosed
	case p != nil && c.groups[p].wanted:
		return nil
	case over(c.count+1, c.hub.config.MaxGroups):
		return errTooMany
	}
	return nil
}

// join counts the connection among the members of a group, and reports whether it
// was none; then its worker is to be told. It is called with the lock of the
// group's shard and of the connection.
func (c *Conn) join(gr *group) (p *part, joins bool) {
	if p = gr.part(c.worker); p != nil && c.groups[p].wanted {
		return p, false
	}
	if c.groups == nil {
		c.groups = make(map[*part]membership)
	}
	p = gr.join(c)
	c.hub.groups.memberships.Add(1)
	c.groups[p] = membership{place: c.groups[p].place, wanted: true}
	c.count++
	return p, true
}

// Leave ends the membership in a group. Not to be in it is no error.
func (c *Conn) Leave(group string) {
	c.mu.Lock()
	p := c.hub.groups.find(group, c.worker)
	if p == nil || !c.groups[p].wanted {
		c.mu.Unlock()
		return
	}
	c.groups[p] = membership{place: c.groups[p].place}
	c.count--
	abandoned := c.hub.groups.leave(p)
	c.worker.add(op{kind: opLeave, conn: c, part: p})
	c.mu.Unlock()
	if abandoned {
		c.hub.abandon(group)
	}
}

// Groups returns the names of the groups the connection is in, sorted.
func (c *Conn) Groups() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := make([]string, 0, c.count)
	for p, m := range c.groups {
		if m.wanted {
			names = append(names, p.group.name)
		}
	}
	slices.Sort(names)
	return names
}

func (c *Conn) leaveAll() {
	for _, group := range c.leaveGroups() {
		c.hub.abandon(group)
	}
}

// leaveGroups ends all memberships for good, and returns the groups that nobody is
// in any more.
func (c *Conn) leaveGroups() (abandoned []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return nil
	}
	c.gone = true
	for p, m := range c.groups {
		if !m.wanted {
			continue
		}
		c.groups[p] = membership{place: m.place}
		if c.hub.groups.leave(p) {
			abandoned = append(abandoned, p.group.name)
		}
	}
	c.count = 0
	c.worker.add(op{kind: opGone, conn: c})
	return abandoned
}

// joined, left and leftAll are the worker's: it alone knows who gets what it
// writes.
func (c *Conn) joined(p *part) {
	p.members = append(p.members, c)
	c.setPlace(p, len(p.members))
}

func (c *Conn) setPlace(p *part, place int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.groups[p] = membership{place: int32(place), wanted: c.groups[p].wanted}
}

func (c *Conn) left(p *part) {
	c.mu.Lock()
	m := c.groups[p]
	if m.wanted { // it is about to join again
		c.groups[p] = membership{wanted: true}
	} else {
		delete(c.groups, p)
	}
	c.mu.Unlock()
	p.remove(m.place)
}

func (c *Conn) leftAll() {
	c.mu.Lock()
	groups := c.groups
	c.groups = nil
	c.mu.Unlock()
	for p, m := range groups {
		p.remove(m.place)
	}
}
