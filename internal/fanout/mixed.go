package fanout

import (
	"slices"

	"github.com/rohrpost/rohrpost/internal/wire"
)

// node is a frame for one member, in the list of all that the member gets from a
// mixed batch.
type node struct {
	frame wire.Frame
	label *label
	next  int  // place of the next node of the member, plus 1
	pong  bool // it is the latest pong, which is not in frame
	close bool // it is the close frame
}

// mixed is what a mixed batch has for one member. It belongs to the worker.
type mixed struct {
	first, last int   // nodes, plus 1; 0: none
	direct      int64 // what direct frames in the nodes have reserved
	closeQueued bool  // the close frame is the last frame of the member
}

// doMixed does ops of different kinds or for different members. What a member gets of
// them is written together, up to a segment at a time.
func (w *worker) doMixed(ops []op) {
	for i := range ops {
		o := &ops[i]
		switch o.kind {
		case opPost:
			w.post(o)
		case opBatch:
			w.postBatch(o.batch)
		case opCall:
			o.call()
		case opDirect:
			w.addDirect(o.member, o.frame, o.label)
		case opPong:
			w.addPong(o.member)
		case opJoin:
			o.member.joined(o.list)
		case opLeave:
			o.member.left(o.list)
		case opLeaveAll:
			o.member.leftAll()
		case opClose:
			w.addClose(o.member)
		case opDiscard:
			w.discard(o.member)
			w.addClose(o.member)
		}
	}
	for left := w.touched; len(left) > 0; {
		left = slices.DeleteFunc(left, w.writeNodes)
		w.pace(left)
	}
	w.touched, w.nodes = emptied(w.touched), emptied(w.nodes)
}

func (w *worker) post(o *op) {
	w.delivered.Add(uint64(len(o.list.members)))
	for _, m := range o.list.members {
		w.addFrame(m, o.frame, &o.list.group.label)
	}
}

// postBatch gives each member all posts or, if they exceed the budget, one resync for
// each of its groups.
func (w *worker) postBatch(b *batch) {
	frames, bytes := map[*Member]int{}, map[*Member]int{}
	for _, o := range b.ops {
		for _, m := range o.list.members {
			frames[m]++
			bytes[m] += len(o.frame) + overhead
		}
	}
	resynced := map[*memberList]bool{}
	for i, o := range b.ops {
		for _, m := range o.list.members {
			if frames[m] == 1 || bytes[m] <= b.budget {
				w.delivered.Add(1)
				w.addFrame(m, o.frame, &o.list.group.label)
			} else if !resynced[o.list] {
				w.addFrame(m, b.resyncs[i], &o.list.group.label)
			}
		}
		resynced[o.list] = true
	}
}

// addFrame appends a frame to those of the member.
func (w *worker) addFrame(m *Member, f wire.Frame, l *label) {
	if m.mixed.closeQueued {
		return
	}
	w.nodes = append(w.nodes, node{frame: f, label: l})
	at := len(w.nodes)
	if m.mixed.first == 0 {
		m.mixed.first = at
		w.touched = append(w.touched, m)
	} else {
		w.nodes[m.mixed.last-1].next = at
	}
	m.mixed.last = at
}

// addDirect is addFrame for a frame that stays reserved until it is written.
func (w *worker) addDirect(m *Member, f wire.Frame, l *label) {
	if m.mixed.closeQueued {
		m.writer.unreserve(reserved(f))
		return
	}
	m.mixed.direct += reserved(f)
	w.addFrame(m, f, l)
}

// addPong appends the latest pong, as it will be when the member is written.
func (w *worker) addPong(m *Member) {
	if m.mixed.closeQueued {
		return
	}
	w.addFrame(m, nil, nil)
	w.nodes[m.mixed.last-1].pong = true
}

// addClose appends the close frame.
func (w *worker) addClose(m *Member) {
	if m.mixed.closeQueued {
		return
	}
	c := m.ending.Load()
	w.addFrame(m, wire.CloseFrame(c.code, c.reason), nil)
	w.nodes[m.mixed.last-1].close = true
	m.mixed.closeQueued = true
}

// discard drops what is not written yet, except the close frame.
func (w *worker) discard(m *Member) {
	m.writer.discard()
	if m.mixed.first == 0 {
		return
	}
	if last := &w.nodes[m.mixed.last-1]; last.close {
		m.mixed.first = m.mixed.last
		return
	}
	last := m.mixed.last
	w.nodes[last-1].frame, m.mixed.first = nil, last // the member stays touched
}

// writeNodes writes a segment of what the member gets, and reports whether that was the
// last one.
func (w *worker) writeNodes(m *Member) (last bool) {
	for m.mixed.first > 0 {
		n := &w.nodes[m.mixed.first-1]
		if n.pong {
			n.frame, n.pong = m.writer.takePong(), false // once, also where it begins the next segment
		}
		if n.frame != nil && !w.out.add(n.frame, n.label) {
			break
		}
		w.out.close = n.close
		m.mixed.first = n.next
	}
	if len(w.out.frames) > 0 {
		w.joinFrames()
		w.write(m)
		w.out.reset()
	}
	if m.mixed.first > 0 {
		return false
	}
	m.mixed.last = 0
	m.writer.unreserve(m.mixed.direct)
	m.mixed.direct = 0
	return true
}
