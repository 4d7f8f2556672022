package fanout

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/rohrpost/rohrpost/internal/shards"
)

// groups is the set of groups that have members or subscriptions.
//
// The messages of a group go to all workers under the lock of the group's shard,
// and each worker keeps their order. A member joins and leaves by the same way:
// exactly what is published in between reaches it.
type groups struct {
	hash   shards.Hash
	shards [shards.Count]shard
	count  atomic.Int64
}

// shard holds the groups whose names have one hash.
type shard struct {
	mu     sync.Mutex
	groups map[string]*group
}

func (gs *groups) init() {
	gs.hash = shards.New()
	for i := range gs.shards {
		gs.shards[i].groups = make(map[string]*group)
	}
}

func (gs *groups) shard(name string) *shard { return &gs.shards[gs.hash.Index(name)] }

func (gs *groups) has(name string) bool {
	s := gs.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.groups[name] != nil
}

func (gs *groups) size(name string) int {
	s := gs.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.groups[name]; g != nil {
		return g.size
	}
	return 0
}

// with calls f with a locked group, and returns the group if it is new: the caller
// must follow it. A new group that f leaves empty is dropped.
func (gs *groups) with(name string, f func(*group)) (fresh *group) {
	s := gs.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.groups[name]
	if g != nil {
		f(g)
		return nil
	}
	g = newGroup(name)
	if f(g); g.empty() {
		return nil
	}
	s.groups[name] = g
	gs.count.Add(1)
	return g
}

// lock locks the shard of a group, and returns what unlocks it.
func (gs *groups) lock(g *group) (unlock func()) {
	s := gs.shard(g.name)
	s.mu.Lock()
	return s.mu.Unlock
}

// visit calls f with the lists of a group, under the lock of its shard.
func (gs *groups) visit(name string, f func(l *memberList)) {
	s := gs.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.groups[name]; g != nil {
		for _, l := range g.activeLists() {
			f(l)
		}
	}
}

// list returns the members of the group that belong to w, nil if there are none.
func (gs *groups) list(name string, w *worker) *memberList {
	s := gs.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.groups[name]; g != nil {
		return g.list(w)
	}
	return nil
}

// removeMember counts a member less. It reports whether the group has gone, and its
// stream must be unfollowed. The caller tells the worker.
func (gs *groups) removeMember(l *memberList) (unfollow bool) {
	defer gs.lock(l.group)()
	l.size--
	l.group.size--
	return gs.removeEmpty(l.group)
}

// removePending removes a subscription that has come to its end.
func (gs *groups) removePending(g *group, p *pendingSubscription) (unfollow bool) {
	defer gs.lock(g)()
	g.pending = slices.DeleteFunc(g.pending, func(other *pendingSubscription) bool { return other == p })
	return gs.removeEmpty(g)
}

// removeEmpty removes a group that is empty, and reports whether its stream must be
// unfollowed. One that has no position yet is unfollowed when it gets one.
func (gs *groups) removeEmpty(g *group) (unfollow bool) {
	if g.gone || !g.empty() {
		return false
	}
	delete(gs.shard(g.name).groups, g.name)
	g.gone = true
	gs.count.Add(-1)
	return g.sequencer.isOpen()
}

// names returns the names of the groups that f accepts, sorted.
func (gs *groups) names(f func(*group) bool) (names []string) {
	for i := range gs.shards {
		s := &gs.shards[i]
		s.mu.Lock()
		for name, g := range s.groups {
			if f(g) {
				names = append(names, name)
			}
		}
		s.mu.Unlock()
	}
	slices.Sort(names)
	return names
}
