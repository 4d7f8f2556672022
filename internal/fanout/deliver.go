package fanout

import (
	"slices"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/shards"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// batch holds the posts of one commit for one worker, which together may be too
// much for a member.
type batch struct {
	worker  *worker
	ops     []op
	resyncs []wire.Frame // one in place of each op; nil: the posts are not too much
	budget  int
}

// Deliver hands messages to the members of their groups, in order and together. The
// payloads are what Config.Frame takes. A member for which several messages together exceed half a
// send queue gets one resync for each of its groups instead. The caller calls Start
// or Publish afterwards.
func (e *Engine) Deliver(messages []broker.Message) {
	if len(messages) == 1 { // most commits change one row
		e.deliverOne(postOf(&messages[0]))
		return
	}
	var l shards.Locks
	for i := range messages {
		at := e.groups.hash.Index(messages[i].Stream)
		l[at] = &e.groups.shards[at].mu
	}
	l.Lock()
	defer l.Unlock()
	posts := make([]post, 0, len(messages))
	for i := range messages {
		p := postOf(&messages[i])
		if g := e.groups.shard(p.group).groups[p.group]; g != nil && e.sequence(g, &p) && e.frame(g, &p) {
			posts = append(posts, p)
		}
	}
	for _, b := range e.batches(posts, half(e.config.MaxSendQueueBytes)) {
		if b.resyncs == nil {
			b.worker.offer(b.ops...)
		} else {
			b.worker.offer(op{kind: opBatch, batch: b})
		}
	}
}

// Start makes sure that goroutines write what was delivered.
func (e *Engine) Start() { e.runners.start() }

// Publish is Start for a publisher without locks. It writes to a single member itself.
func (e *Engine) Publish() { e.runners.publish() }

func (e *Engine) deliverOne(p post) {
	s := e.groups.shard(p.group)
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.groups[p.group]; g != nil && e.sequence(g, &p) {
		e.pass(g, &p)
	}
}

// Signal hands a frame to the members of a group. It has no place among the messages of
// the group: nothing brings it again. The caller calls Start afterwards.
func (e *Engine) Signal(group string, f wire.Frame) {
	s := e.groups.shard(group)
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.groups[group]; g != nil {
		g.send(f)
	}
}

// pass hands a message to the members that the sequencer has passed, and buffers it for
// pending subscriptions. It is called with the lock of the shard.
func (e *Engine) pass(g *group, p *post) {
	if e.frame(g, p) {
		g.send(p.frame)
		g.buffer(p)
	}
}

// frame frames a message that the sequencer has passed. It reports false for an empty
// one, which no member gets.
func (e *Engine) frame(g *group, p *post) bool {
	if p.isEmpty() {
		g.buffer(p)
		return false
	}
	e.frameAfter(p, g.sequencer.sent, g.size)
	g.sequencer.sent = p.at.Offset
	return true
}

// frameAfter frames a message for members who have got the change prev before.
func (e *Engine) frameAfter(p *post, prev uint64, members int) {
	p.prev = prev
	if e.config.Frame == nil {
		p.frame = p.payload
	} else {
		p.frame = e.config.Frame(p.payload, prev, p.at.Offset, members)
	}
}

// sequence moves the sequencer of a group on to a message, and reports whether the
// members get the message now. If there is a gap before it, the Engine fills the gap.
func (e *Engine) sequence(g *group, p *post) bool {
	v := g.sequencer.accept(p.at, p.before)
	if v == gap {
		e.startFilling(g)
	}
	return v == inOrder
}

// batches sorts posts by the workers of the members that get them.
func (e *Engine) batches(posts []post, budget int) (batches []*batch) {
	resyncs := e.resyncFrames(posts, budget)
	for i := range posts {
		post := &posts[i]
		g := e.groups.shard(post.group).groups[post.group]
		for _, l := range g.activeLists() {
			i := slices.IndexFunc(batches, func(b *batch) bool { return b.worker == l.worker })
			if i < 0 {
				i = len(batches)
				batches = append(batches, &batch{worker: l.worker, budget: budget})
			}
			batches[i].ops = append(batches[i].ops, op{kind: opPost, list: l, frame: post.frame})
			if resyncs != nil {
				batches[i].resyncs = append(batches[i].resyncs, resyncs[post.group])
			}
		}
		g.buffer(post)
	}
	return batches
}

// resyncFrames returns a resync for each group where the posts together exceed the
// budget, nil where they do not. A negative budget means none. It is called with the locks
// of the groups.
func (e *Engine) resyncFrames(posts []post, budget int) map[string]wire.Frame {
	total := 0
	for i := range posts {
		total += len(posts[i].frame) + overhead
	}
	if budget < 0 || total <= budget {
		return nil
	}
	type span struct{ prev, offset uint64 }
	spans := make(map[string]span)
	for i := range posts {
		p := &posts[i]
		s, ok := spans[p.group]
		if !ok {
			s.prev = p.prev
		}
		s.offset = p.at.Offset
		spans[p.group] = s
	}
	frames := make(map[string]wire.Frame)
	for group, s := range spans {
		payload := wire.AddSpread(wire.ResyncPayload(group, wire.ReasonSize), e.groups.shard(group).groups[group].size)
		frames[group] = wire.ChangeFrame(payload, s.prev, s.offset)
	}
	return frames
}
