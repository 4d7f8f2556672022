package rohrpost

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

const shardCount = 64

// groups knows who is in which group and hands frames to the members. It is the
// seam behind which delivery can be replaced: the hub calls has, join, leave and
// publish, the connections' end is queue.push, and nothing else knows how a
// frame gets from one to the other.
//
// All members of a group see its frames in the same order, since a frame is put
// into all their queues under one lock.
type groups struct {
	seed        maphash.Seed
	shards      [shardCount]shard
	count       atomic.Int64
	memberships atomic.Int64
}

// shard holds the groups whose names have one hash.
type shard struct {
	mu      sync.Mutex
	members map[string][]*member
}

// member is one connection in one group. Its place is guarded by the shard.
type member struct {
	conn  *Conn
	place int
}

// delivery is what publish leaves to do once no lock is held.
type delivery struct {
	count int     // members that have the frame in their queue
	wake  []*Conn // whose writers sleep
	slow  []*Conn // whose queues are full
}

func newGroups() *groups {
	g := &groups{seed: maphash.MakeSeed()}
	for i := range g.shards {
		g.shards[i].members = make(map[string][]*member)
	}
	return g
}

func (g *groups) shard(name string) *shard {
	return &g.shards[maphash.String(g.seed, name)%shardCount]
}

// has reports whether the group has a member.
func (g *groups) has(name string) bool {
	s := g.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.members[name]) > 0
}

// join makes c a member; it must not be one.
func (g *groups) join(name string, c *Conn) *member {
	s := g.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.members[name]
	if len(all) == 0 {
		g.count.Add(1)
	}
	g.memberships.Add(1)
	m := &member{conn: c, place: len(all)}
	s.members[name] = append(all, m)
	return m
}

// leave removes m; the last member takes its place.
func (g *groups) leave(name string, m *member) {
	s := g.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.members[name]
	last := len(all) - 1
	all[m.place] = all[last]
	all[m.place].place = m.place
	all[last] = nil
	s.members[name] = all[:last]
	g.memberships.Add(-1)
	if last == 0 {
		delete(s.members, name)
		g.count.Add(-1)
	}
}

// publish puts f into the queue of every member. It never waits for one.
func (g *groups) publish(name string, f frame) delivery {
	s := g.shard(name)
	var d delivery
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.members[name] {
		switch p := m.conn.queue.push(f); {
		case p.overflow:
			d.slow = append(d.slow, m.conn)
		case p.taken:
			d.count++
			if p.wake {
				d.wake = append(d.wake, m.conn)
			}
		}
	}
	return d
}
