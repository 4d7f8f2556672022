package rohrpost

import (
	"slices"

	"github.com/rohrpost/rohrpost/internal/wire"
)

// group is one with members, or with connections on their way into it. It is
// guarded by its shard.
type group struct {
	name     string
	size     int // members
	parts    []*part
	arrivals []*arrival
	gate     gate
	gone     bool // no longer among the groups
}

// part is what one worker has to do with a group.
type part struct {
	group   *group
	worker  *worker
	size    int     // guarded by the shard
	members []*Conn // belongs to the worker
}

// post is a message on its way to a group.
type post struct {
	group  string
	frame  wire.Frame
	epoch  string
	offset uint64 // 0: it has none
	plain  bool   // no change
}

// empty reports whether nobody is in it, or on the way.
func (gr *group) empty() bool { return gr.size == 0 && len(gr.arrivals) == 0 }

func (gr *group) part(w *worker) *part {
	for _, p := range gr.parts {
		if p.worker == w {
			return p
		}
	}
	return nil
}

// active are the parts that have members.
func (gr *group) active() []*part {
	gr.parts = slices.DeleteFunc(gr.parts, func(p *part) bool { return p.size == 0 })
	return gr.parts
}

// tell hands a message to the members alone, and to who is on the way.
func (gr *group) tell(p *post) {
	for _, part := range gr.active() {
		part.worker.add(op{kind: opPost, part: part, frame: p.frame})
	}
	gr.note(p)
}

// note keeps a message for who is on the way.
func (gr *group) note(p *post) {
	for _, a := range gr.arrivals {
		a.note(p)
	}
}

// join lets c become a member, and returns its part of the group.
func (gr *group) join(c *Conn) *part {
	p := gr.part(c.worker)
	if p == nil {
		p = &part{group: gr, worker: c.worker}
		gr.parts = append(gr.parts, p)
	}
	gr.size++
	p.size++
	return p
}

// remove takes a member out; the last one takes its place. It is the worker's.
func (p *part) remove(place int32) {
	last := p.members[len(p.members)-1]
	if int(place) < len(p.members) {
		p.members[place-1] = last
		last.setPlace(p, int(place))
	}
	p.members[len(p.members)-1] = nil
	if p.members = p.members[:len(p.members)-1]; len(p.members) == 0 {
		p.members = nil
	}
}
