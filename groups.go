package rohrpost

import (
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
)

const shardCount = 64

// groups knows which groups there are, and hands frames for them to the workers
// of their members.
//
// All members of a group see its frames in the same order, since they are handed
// to all workers under the lock of the group's shard; a worker keeps the order.
// Who joins or leaves does so by the same way: exactly what is published in
// between is delivered.
type groups struct {
	seed        maphash.Seed
	shards      [shardCount]shard
	count       atomic.Int64
	memberships atomic.Int64
}

// shard holds the groups whose names have one hash.
type shard struct {
	mu     sync.Mutex
	groups map[string]*group
}

// group is one with at least one member.
type group struct {
	name  string
	size  int     // members; guarded by the shard
	parts []*part // guarded by the shard
}

// part is what one worker has to do with a group.
type part struct {
	group   *group
	worker  *worker
	size    int     // guarded by the shard
	members []*Conn // belongs to the worker
}

// post is a frame on its way to a group.
type post struct {
	group string
	frame frame
}

func newGroups() *groups {
	g := &groups{seed: maphash.MakeSeed()}
	for i := range g.shards {
		g.shards[i].groups = make(map[string]*group)
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
	return s.groups[name] != nil
}

// find returns the part of the group that is w's, nil if there is none.
func (g *groups) find(name string, w *worker) *part {
	s := g.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if group := s.groups[name]; group != nil {
		return group.part(w)
	}
	return nil
}

// join lets c become a member, and returns its part of the group.
func (g *groups) join(name string, c *Conn) *part {
	s := g.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	gr := s.groups[name]
	if gr == nil {
		gr = &group{name: name}
		s.groups[name] = gr
		g.count.Add(1)
	}
	p := gr.part(c.worker)
	if p == nil {
		p = &part{group: gr, worker: c.worker}
		gr.parts = append(gr.parts, p)
	}
	gr.size++
	p.size++
	g.memberships.Add(1)
	c.worker.add(op{kind: opJoin, conn: c, part: p})
	return p
}

func (gr *group) part(w *worker) *part {
	for _, p := range gr.parts {
		if p.worker == w {
			return p
		}
	}
	return nil
}

// leave counts a member less. The worker is told by who calls it.
func (g *groups) leave(p *part) {
	s := g.shard(p.group.name)
	s.mu.Lock()
	defer s.mu.Unlock()
	g.memberships.Add(-1)
	p.size--
	if p.group.size--; p.group.size == 0 {
		delete(s.groups, p.group.name)
		g.count.Add(-1)
	}
}

// matching returns the groups whose names match, sorted.
func (g *groups) matching(p pattern) []string {
	var names []string
	for i := range g.shards {
		s := &g.shards[i]
		s.mu.Lock()
		for name := range s.groups {
			if _, ok := p.match(name); ok {
				names = append(names, name)
			}
		}
		s.mu.Unlock()
	}
	slices.Sort(names)
	return names
}

// publish hands the frames to the workers, in order and side by side. It waits
// for nobody. A member that would get several frames of together more than
// budget bytes is told of each group once to load it again.
func (g *groups) publish(posts []post, budget int) {
	if len(posts) == 1 {
		s := g.shard(posts[0].group)
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, p := range s.parts(posts[0].group) {
			p.worker.add(op{kind: opPost, part: p, frame: posts[0].frame})
		}
		return
	}
	resyncs := resyncFrames(posts, budget)
	defer g.lock(posts)()
	var batches []*batch
	for _, post := range posts {
		for _, p := range g.shard(post.group).parts(post.group) {
			i := slices.IndexFunc(batches, func(b *batch) bool { return b.worker == p.worker })
			if i < 0 {
				i = len(batches)
				batches = append(batches, &batch{worker: p.worker, budget: budget})
			}
			batches[i].ops = append(batches[i].ops, op{kind: opPost, part: p, frame: post.frame})
			if resyncs != nil {
				batches[i].resyncs = append(batches[i].resyncs, resyncs[post.group])
			}
		}
	}
	for _, b := range batches {
		if b.resyncs == nil {
			b.worker.add(b.ops...)
		} else {
			b.worker.add(op{kind: opBatch, batch: b})
		}
	}
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

// parts are those of a group that have members.
func (s *shard) parts(name string) []*part {
	group := s.groups[name]
	if group == nil {
		return nil
	}
	group.parts = slices.DeleteFunc(group.parts, func(p *part) bool { return p.size == 0 })
	return group.parts
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
		total += len(p.frame)
	}
	if budget < 0 || total <= budget {
		return nil
	}
	frames := make(map[string]frame)
	for _, p := range posts {
		if frames[p.group] == nil {
			frames[p.group] = resyncFrame(p.group, "size")
		}
	}
	return frames
}
