package places

import (
	"errors"
	"sync"
)

// The errors of a place that is refused.
var (
	ErrFull    = errors.New("too many connections")
	ErrAddress = errors.New("too many connections of this address")
	ErrUser    = errors.New("too many connections of this user")
)

// Connections bounds the open connections: of all, of one user and, where more than half
// of the places are taken, of one address. Make one with NewConnections. Its methods may be
// called concurrently.
type Connections struct {
	max, perUser int

	mu     sync.Mutex // guards what follows
	taken  int
	counts counts
}

// NewConnections returns free places. A negative number means any number.
func NewConnections(max, perUser int) *Connections {
	return &Connections{max: max, perUser: perUser, counts: newCounts()}
}

// Check returns why an address gets no place, nil if it may get one.
func (c *Connections) Check(address string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.check(address)
}

func (c *Connections) check(address string) error {
	switch {
	case c.max < 0:
		return nil
	case c.taken >= c.max:
		return ErrFull
	case c.taken >= c.max/2 && !c.counts.within(Names{address}, partOf(c.max)):
		return ErrAddress
	}
	return nil
}

// Take takes a place for a connection of an address and a user; an empty name is not
// counted.
func (c *Connections) Take(address, user string) (*Place, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.check(address); err != nil {
		return nil, err
	}
	if err := c.checkUser(user); err != nil {
		return nil, err
	}
	c.taken++
	c.counts.add(Names{address, user}, 1)
	return &Place{all: c, address: address, user: user}, nil
}

func (c *Connections) checkUser(user string) error {
	if c.perUser >= 0 && !c.counts.within(Names{1: user}, c.perUser) {
		return ErrUser
	}
	return nil
}

// Place is that of one connection. A nil Place counts nothing.
type Place struct {
	all     *Connections
	address string

	user string // guarded by all, as what follows
	free bool
}

// SetUser gives the place to another user, who is known only now. It fails with ErrUser,
// and changes nothing then.
func (p *Place) SetUser(user string) error {
	if p == nil {
		return nil
	}
	p.all.mu.Lock()
	defer p.all.mu.Unlock()
	if p.free || p.user == user {
		return nil
	}
	if err := p.all.checkUser(user); err != nil {
		return err
	}
	p.all.counts.add(Names{1: p.user}, -1)
	p.user = user
	p.all.counts.add(Names{1: p.user}, 1)
	return nil
}

// Names returns the names for Shares.
func (p *Place) Names() Names {
	if p == nil {
		return Names{}
	}
	p.all.mu.Lock()
	defer p.all.mu.Unlock()
	return Names{p.address, p.user}
}

// Free gives the place back, once.
func (p *Place) Free() {
	if p == nil {
		return
	}
	p.all.mu.Lock()
	defer p.all.mu.Unlock()
	if p.free {
		return
	}
	p.free = true
	p.all.taken--
	p.all.counts.add(Names{p.address, p.user}, -1)
}
