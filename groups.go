package rohrpost

import (
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
)

const shardCount = 64

// groups knows who is in which group and hands frames to the members. It is the
// seam behind which delivery can be replaced: the hub calls has, matching, join,
// leave and publish, the connections' end is queue.push, and nothing else knows
// how a frame gets from one to the other.
//
// All members of a group see its frames in the same order, and those of one
// publish side by side, since they are put into all queues under the locks of all
// shards concerned.
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

// post is a frame on its way to a group.
type post struct {
	group string
	frame frame
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

func (g *groups) shard(name string) *shard { return &g.shards[g.index(name)] }

func (g *groups) index(name string) uint64 { return maphash.String(g.seed, name) % shardCount }

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

// matching returns the groups with members whose names match, sorted.
func (g *groups) matching(p pattern) []string {
	var names []string
	for i := range g.shards {
		s := &g.shards[i]
		s.mu.Lock()
		for name := range s.members {
			if _, ok := p.match(name); ok {
				names = append(names, name)
			}
		}
		s.mu.Unlock()
	}
	slices.Sort(names)
	return names
}

// publish puts the frames into the queues of all members, in order. It never
// waits for one. A member that would get several frames of together more than
// budget bytes is told of each group once to load it again.
func (g *groups) publish(posts []post, budget int) delivery {
	var d delivery
	if len(posts) == 1 {
		s := g.shard(posts[0].group)
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, m := range s.members[posts[0].group] {
			d.push(m.conn, posts[0].frame)
		}
		return d
	}
	resyncs := resyncFrames(posts, budget)
	defer g.lock(posts)()
	flooded := g.flooded(posts, budget, resyncs != nil)
	told := make(map[string]bool, len(resyncs))
	for _, p := range posts {
		for _, m := range g.shard(p.group).members[p.group] {
			if !flooded[m.conn] {
				d.push(m.conn, p.frame)
			} else if !told[p.group] {
				d.push(m.conn, resyncs[p.group])
			}
		}
		if resyncs != nil {
			told[p.group] = true
		}
	}
	return d
}

// push puts f into the queue of one member.
func (d *delivery) push(c *Conn, f frame) {
	switch p := c.queue.push(f); {
	case p.overflow:
		d.slow = append(d.slow, c)
	case p.taken:
		d.count++
		if p.wake {
			d.wake = append(d.wake, c)
		}
	}
}

// lock locks the shards of all the groups, always in the same order, and returns
// what unlocks them.
func (g *groups) lock(posts []post) (unlock func()) {
	var concerned [shardCount]bool
	for _, p := range posts {
		concerned[g.index(p.group)] = true
	}
	for i := range concerned {
		if concerned[i] {
			g.shards[i].mu.Lock()
		}
	}
	return func() {
		for i := range concerned {
			if concerned[i] {
				g.shards[i].mu.Unlock()
			}
		}
	}
}

// resyncFrames are what the groups are told instead where it may be too much; nil
// where all posts together are not. A negative budget is none.
func resyncFrames(posts []post, budget int) map[string]frame {
	total := 0
	for _, p := range posts {
		total += len(p.frame.payload)
	}
	if budget < 0 || total <= budget {
		return nil
	}
	frames := make(map[string]frame)
	for _, p := range posts {
		if _, known := frames[p.group]; known {
			continue
		}
		if payload, err := newResync(p.group, "size").encode(); err == nil {
			frames[p.group], _ = shared(payload)
		}
	}
	return frames
}

// flooded returns the members for whom the posts are too much. The shards are
// locked.
func (g *groups) flooded(posts []post, budget int, possible bool) map[*Conn]bool {
	if !possible {
		return nil
	}
	flooded := map[*Conn]bool{}
	frames, bytes := map[*Conn]int{}, map[*Conn]int{}
	for _, p := range posts {
		for _, m := range g.shard(p.group).members[p.group] {
			frames[m.conn]++
			bytes[m.conn] += len(p.frame.payload)
			flooded[m.conn] = frames[m.conn] > 1 && bytes[m.conn] > budget
		}
	}
	return flooded
}
