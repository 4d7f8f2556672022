package fanout

import (
	"slices"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// group is a group with members or subscriptions. It is guarded by its shard.
type group struct {
	name      string
	label     label // of its messages
	size      int   // members
	lists     []*memberList
	pending   []*pendingSubscription
	sequencer sequencer
	gone      bool // removed from the groups

	refresh    *refresh // that is to begin; nil: nobody has asked for one
	refreshing bool     // a task reads
}

// memberList holds the members of a group that belong to one worker.
type memberList struct {
	group      *group
	worker     *worker
	size       int       // guarded by the shard
	overflowed uint64    // the next take of the worker when the group got a resync in place of its messages; guarded by the worker
	members    []*Member // belongs to the worker
}

// refresh is a reading of the stream of a group for all subscriptions that have asked for
// it before it has begun.
type refresh struct {
	done chan struct{} // closed when err is there
	err  error
}

func newGroup(name string) *group {
	return &group{name: name, label: label{group: name}, sequencer: newSequencer()}
}

func (g *group) empty() bool { return g.size == 0 && len(g.pending) == 0 }

func (g *group) list(w *worker) *memberList {
	for _, l := range g.lists {
		if l.worker == w {
			return l
		}
	}
	return nil
}

// activeLists returns the lists that have members.
func (g *group) activeLists() []*memberList {
	g.lists = slices.DeleteFunc(g.lists, func(l *memberList) bool { return l.size == 0 })
	return g.lists
}

// send hands a frame to the members. The caller calls Start or Work of the Engine afterwards.
func (g *group) send(f wire.Frame) {
	for _, l := range g.activeLists() {
		l.worker.offer(op{kind: opPost, list: l, frame: f})
	}
}

// buffer buffers a message for pending subscriptions.
func (g *group) buffer(p *post) {
	for _, s := range g.pending {
		s.buffer(p)
	}
}

// resync moves the group to a position and tells its members to load their snapshot
// again.
func (g *group) resync(to broker.Position, why string) {
	g.sequencer.moveTo(to)
	g.send(wire.ResyncFrame(g.name, why, g.size, to.Epoch, to.Offset))
	for _, s := range g.pending {
		s.overflow()
	}
}

// addMember counts a member more for a worker.
func (g *group) addMember(w *worker) *memberList {
	l := g.list(w)
	if l == nil {
		l = &memberList{group: g, worker: w}
		g.lists = append(g.lists, l)
	}
	g.size++
	l.size++
	return l
}

// remove removes the member at a place; the last member takes the place. It belongs
// to the worker.
func (l *memberList) remove(place int32) {
	last := l.members[len(l.members)-1]
	if int(place) < len(l.members) {
		l.members[place-1] = last
		last.setPlace(l, int(place))
	}
	l.members[len(l.members)-1] = nil
	if l.members = l.members[:len(l.members)-1]; len(l.members) == 0 {
		l.members = nil
	}
}
