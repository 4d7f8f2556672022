package fanout

import (
	"errors"
	"slices"

	"github.com/rohrpost/rohrpost/internal/wire"
)

// ErrTooManyGroups is returned for a member that is in as many groups as it may.
var ErrTooManyGroups = errors.New("too many groups")

// membership is a member's place in a member list.
type membership struct {
	place  int32 // in the list, plus 1; 0: the worker has yet to add the member
	wanted bool
	joined bool // by Join, not by a subscription
}

// Join adds the member to a group. If the member is in the group, the membership is from
// now on one of Join.
// It returns ErrTooManyGroups or ErrClosed.
func (m *Member) Join(name string) error {
	m.mu.Lock()
	var err error
	fresh := m.engine.groups.with(name, func(g *group) {
		if err = m.mayJoin(g); err != nil {
			return
		}
		l, added := m.addTo(g)
		if added {
			m.worker.submit(op{kind: opJoin, member: m, list: l})
		}
		ms := m.groups[l]
		ms.joined = true
		m.groups[l] = ms
	})
	m.mu.Unlock()
	if fresh != nil {
		m.engine.follow(fresh)
	}
	return err
}

// MayJoin returns ErrTooManyGroups for a member that is in as many groups as it may, and in
// none of these. Others may join meanwhile: the step that joins looks again.
func (m *Member) MayJoin(groups ...string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.isFull() || slices.ContainsFunc(groups, m.isIn) {
		return nil
	}
	return ErrTooManyGroups
}

// isFull is called with the lock of the member.
func (m *Member) isFull() bool { return over(m.count+1, m.engine.config.MaxGroups) }

// isIn is called with the lock of the member.
func (m *Member) isIn(group string) bool {
	l := m.engine.groups.list(group, m.worker)
	return l != nil && m.groups[l].wanted
}

// mayJoin is called with the locks of the shard and of the member.
func (m *Member) mayJoin(g *group) error {
	switch l := g.list(m.worker); {
	case m.gone:
		return ErrClosed
	case l != nil && m.groups[l].wanted:
		return nil
	case m.isFull():
		return ErrTooManyGroups
	}
	return nil
}

// addTo counts the member in a group, and reports whether it was not in it: then the
// caller must tell the worker. It is called with the locks of the shard and of the
// member.
func (m *Member) addTo(g *group) (l *memberList, added bool) {
	if l = g.list(m.worker); l != nil && m.groups[l].wanted {
		return l, false
	}
	if m.groups == nil {
		m.groups = make(map[*memberList]membership)
	}
	l = g.addMember(m.worker)
	m.engine.memberships.Add(1)
	m.groups[l] = membership{place: m.groups[l].place, wanted: true}
	m.count++
	return l, true
}

// Leave removes the member from a group, and cancels its subscriptions to the group that
// are under way. If the member was in the group, it gets the frame last after the
// messages of the group; nil is none.
func (m *Member) Leave(group string, last wire.Frame) {
	m.mu.Lock()
	for _, u := range m.subscriptions {
		if u.group == group {
			u.cancelled = true
			if u.cancel != nil {
				u.cancel()
			}
		}
	}
	l := m.engine.groups.list(group, m.worker)
	if l == nil || !m.groups[l].wanted {
		m.mu.Unlock()
		return
	}
	ops, unfollow := m.leave(l, last)
	m.worker.submit(ops...)
	m.mu.Unlock()
	if unfollow {
		m.engine.config.Upstream.Unfollow(group)
	}
}

// leave ends a membership that is wanted. The caller submits the ops, with the lock of the
// member.
func (m *Member) leave(l *memberList, last wire.Frame) (ops []op, unfollow bool) {
	m.groups[l] = membership{place: m.groups[l].place}
	m.count--
	ops = []op{{kind: opLeave, member: m, list: l}}
	if last != nil {
		m.writer.reserve(last)
		ops = append(ops, op{kind: opDirect, member: m, frame: last})
	}
	return ops, m.removeFrom(l)
}

func (m *Member) removeFrom(l *memberList) (unfollow bool) {
	m.engine.memberships.Add(^uint64(0))
	return m.engine.groups.removeMember(l)
}

// Groups returns the names of the member's groups, sorted.
func (m *Member) Groups() []string {
	return m.names(func(membership) bool { return true })
}

// Subscribed returns the names of the groups that the member is in by a subscription,
// sorted.
func (m *Member) Subscribed() []string {
	return m.names(func(ms membership) bool { return !ms.joined })
}

func (m *Member) names(f func(membership) bool) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := make([]string, 0, m.count)
	for l, ms := range m.groups {
		if ms.wanted && f(ms) {
			names = append(names, l.group.name)
		}
	}
	slices.Sort(names)
	return names
}

// leaveAll removes the member from all groups for good.
func (m *Member) leaveAll() {
	for _, group := range m.removeFromAll() {
		m.engine.config.Upstream.Unfollow(group)
	}
}

// removeFromAll returns the groups whose streams must be unfollowed.
func (m *Member) removeFromAll() (unfollow []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.gone {
		return nil
	}
	m.gone = true
	for l, ms := range m.groups {
		if !ms.wanted {
			continue
		}
		m.groups[l] = membership{place: ms.place}
		if m.removeFrom(l) {
			unfollow = append(unfollow, l.group.name)
		}
	}
	m.count = 0
	m.worker.submit(op{kind: opLeaveAll, member: m})
	return unfollow
}

// joined, left and leftAll belong to the worker, which alone knows who gets what it
// writes.
func (m *Member) joined(l *memberList) {
	l.members = append(l.members, m)
	m.setPlace(l, len(l.members))
}

func (m *Member) setPlace(l *memberList, place int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ms := m.groups[l]
	ms.place = int32(place)
	m.groups[l] = ms
}

func (m *Member) left(l *memberList) {
	m.mu.Lock()
	ms := m.groups[l]
	if ms.wanted { // it is about to join again
		m.groups[l] = membership{wanted: true, joined: ms.joined}
	} else {
		delete(m.groups, l)
	}
	m.mu.Unlock()
	l.remove(ms.place)
}

func (m *Member) leftAll() {
	m.mu.Lock()
	all := m.groups
	m.groups = nil
	m.mu.Unlock()
	for l, ms := range all {
		l.remove(ms.place)
	}
}
