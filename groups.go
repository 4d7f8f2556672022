package rohrpost

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/rohrpost/rohrpost/internal/shards"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// groups knows which groups there are, and hands messages for them to the workers
// of their members.
//
// All members of a group see its messages in the same order, since they are handed
// to all workers under the lock of the group's shard; a worker keeps the order.
// Who joins or leaves does so by the same way: exactly what is published in
// between is delivered.
type groups struct {
	spread      shards.Hash
	shards      [shards.Count]shard
	count       atomic.Int64
	memberships atomic.Int64
	fallsBehind func(*group) // its gate has missed something; called with the lock of the shard
}

// shard holds the groups whose names have one hash.
type shard struct {
	mu     sync.Mutex
	groups map[string]*group
}

func newGroups(fallsBehind func(*group)) *groups {
	g := &groups{spread: shards.New(), fallsBehind: fallsBehind}
	for i := range g.shards {
		g.shards[i].groups = make(map[string]*group)
	}
	return g
}

func (g *groups) shard(name string) *shard { return &g.shards[g.spread.Index(name)] }

// has reports whether the group has a member, or will have one soon.
func (g *groups) has(name string) bool {
	s := g.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.groups[name] != nil
}

// with calls f with a group that is locked, and returns it if it is new: then its
// gate is to be opened. Of a group in which f leaves nobody nothing stays.
func (g *groups) with(name string, f func(*group)) (fresh *group) {
	s := g.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	gr := s.groups[name]
	if gr != nil {
		f(gr)
		return nil
	}
	gr = &group{name: name, gate: gate{ready: make(chan struct{})}}
	if f(gr); gr.empty() {
		return nil
	}
	s.groups[name] = gr
	g.count.Add(1)
	return gr
}

// lock locks the shard of a group, and returns what unlocks it.
func (g *groups) lock(gr *group) (unlock func()) {
	s := g.shard(gr.name)
	s.mu.Lock()
	return s.mu.Unlock
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

// leave counts a member less, and reports whether it leaves a stream behind that
// nobody needs any more. The worker is told by who calls it.
func (g *groups) leave(p *part) (abandoned bool) {
	defer g.lock(p.group)()
	g.memberships.Add(-1)
	p.size--
	p.group.size--
	return g.forget(p.group)
}

// depart takes out who was on the way.
func (g *groups) depart(gr *group, a *arrival) (abandoned bool) {
	defer g.lock(gr)()
	gr.arrivals = slices.DeleteFunc(gr.arrivals, func(other *arrival) bool { return other == a })
	return g.forget(gr)
}

// forget removes a group that nobody is in, and reports whether its gate was open.
func (g *groups) forget(gr *group) (wasOpen bool) {
	if gr.gone || !gr.empty() {
		return false
	}
	delete(g.shard(gr.name).groups, gr.name)
	gr.gone = true
	g.count.Add(-1)
	return gr.gate.ready == nil
}

// open opens the gate of a group. It fails if nobody is there any more.
func (g *groups) open(gr *group, at Position) bool {
	defer g.lock(gr)()
	if gr.gone {
		return false
	}
	if gr.gate.open(at) {
		g.behind(gr)
	}
	return true
}

// behind sees to it that what the gate has missed is read from the history.
func (g *groups) behind(gr *group) {
	if gr.gate.ready == nil && !gr.gate.behind {
		gr.gate.behind = true
		g.fallsBehind(gr)
	}
}

// names returns the groups that f accepts, sorted.
func (g *groups) names(f func(*group) bool) (names []string) {
	for i := range g.shards {
		s := &g.shards[i]
		s.mu.Lock()
		for name, gr := range s.groups {
			if f(gr) {
				names = append(names, name)
			}
		}
		s.mu.Unlock()
	}
	slices.Sort(names)
	return names
}

// positions are those of all gates that are open and have one.
func (g *groups) positions() map[string]Position {
	all := make(map[string]Position)
	g.names(func(gr *group) bool {
		if gr.gate.ready == nil && gr.gate.Epoch != "" {
			all[gr.name] = gr.gate.Position
		}
		return false
	})
	return all
}

// compare looks at a gate that was at one position when the broker was, or came, to
// another.
func (g *groups) compare(name string, was, broker Position) {
	s := g.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	gr := s.groups[name]
	if gr == nil {
		return
	}
	now := gr.gate.Position
	wentBack := broker.Epoch == was.Epoch && broker.Offset < was.Offset
	if wentBack || broker.Epoch != now.Epoch && now == was || broker.Epoch == now.Epoch && broker.Offset > now.Offset {
		g.behind(gr)
	}
}

// publish hands messages to the workers, in order and side by side, if they pass
// the gates. It waits for nobody. A member that would get several messages of
// together more than budget bytes is told of each group once to load it again.
func (g *groups) publish(posts []post, budget int) {
	if len(posts) == 1 { // most commits change one row
		s := g.shard(posts[0].group)
		s.mu.Lock()
		defer s.mu.Unlock()
		if gr := s.groups[posts[0].group]; g.passes(gr, &posts[0]) {
			gr.tell(&posts[0])
		}
		return
	}
	var l shards.Locks
	for i := range posts {
		at := g.spread.Index(posts[i].group)
		l[at] = &g.shards[at].mu
	}
	l.Lock()
	defer l.Unlock()
	posts = slices.DeleteFunc(posts, func(p post) bool {
		return !g.passes(g.shard(p.group).groups[p.group], &p)
	})
	for _, b := range g.batches(posts, budget) {
		if b.resyncs == nil {
			b.worker.add(b.ops...)
		} else {
			b.worker.add(op{kind: opBatch, batch: b})
		}
	}
}

// passes reports whether a message is for the members of a group, now.
func (g *groups) passes(gr *group, p *post) bool {
	if gr == nil {
		return false
	}
	v := gr.gate.check(p.epoch, p.offset)
	if v == missing {
		g.behind(gr)
	}
	return v == passes
}

// batches sorts posts by the workers of those who get them.
func (g *groups) batches(posts []post, budget int) (batches []*batch) {
	resyncs := resyncFrames(posts, budget)
	for i := range posts {
		post := &posts[i]
		gr := g.shard(post.group).groups[post.group]
		for _, p := range gr.active() {
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
		gr.note(post)
	}
	return batches
}

// resyncFrames are what the groups are told instead where it may be too much; nil
// where all posts together are not. A negative budget is none.
func resyncFrames(posts []post, budget int) map[string]wire.Frame {
	total := 0
	latest := make(map[string]uint64)
	for i := range posts {
		total += len(posts[i].frame)
		latest[posts[i].group] = posts[i].offset
	}
	if budget < 0 || total <= budget {
		return nil
	}
	frames := make(map[string]wire.Frame)
	for group, offset := range latest {
		frames[group] = wire.ChangeFrame(wire.ResyncPayload(group, "size"), offset)
	}
	return frames
}
