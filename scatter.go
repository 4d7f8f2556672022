package rohrpost

import "github.com/rohrpost/rohrpost/internal/wire"

// node is a frame for one connection, in the list of all that it gets.
type node struct {
	frame    wire.Frame
	next     int // place of the next one, plus 1
	farewell bool
}

// ends are the first and the last node of a connection, plus 1; 0: none.
type ends struct{ first, last int }

// scatter does a mixture of things. What a connection gets of it is written to it
// at once.
func (w *worker) scatter(ops []op) {
	for i := range ops {
		o := &ops[i]
		switch o.kind {
		case opPost:
			w.post(o)
		case opBatch:
			w.postBatch(o.batch)
		case opDirect:
			w.giveDirect(o.conn, o.frame)
		case opJoin:
			o.conn.joined(o.part)
		case opLeave:
			o.conn.left(o.part)
		case opGone:
			o.conn.leftAll()
		case opEnd:
			w.farewell(o.conn)
		case opDrop:
			w.takeBack(o.conn)
			w.farewell(o.conn)
		}
	}
	for _, c := range w.touched {
		w.writeNodes(c)
	}
	w.touched, w.nodes = spare(w.touched), spare(w.nodes)
}

func (w *worker) post(o *op) {
	w.hub.counters.delivered.Add(uint64(len(o.part.members)))
	for _, c := range o.part.members {
		w.give(c, o.frame)
	}
}

// postBatch gives members all posts, but those for whom they are too much one
// resync for each of their groups.
func (w *worker) postBatch(b *batch) {
	frames, bytes := map[*Conn]int{}, map[*Conn]int{}
	for _, o := range b.ops {
		for _, c := range o.part.members {
			frames[c]++
			bytes[c] += len(o.frame)
		}
	}
	told := map[*part]bool{}
	for i, o := range b.ops {
		for _, c := range o.part.members {
			if frames[c] == 1 || bytes[c] <= b.budget {
				w.hub.counters.delivered.Add(1)
				w.give(c, o.frame)
			} else if !told[o.part] {
				w.give(c, b.resyncs[i])
			}
		}
		told[o.part] = true
	}
}

// give puts a frame behind the others for the connection.
func (w *worker) give(c *Conn, f wire.Frame) {
	if c.said {
		return
	}
	w.nodes = append(w.nodes, node{frame: f})
	at := len(w.nodes)
	if c.nodes.first == 0 {
		c.nodes.first = at
		w.touched = append(w.touched, c)
	} else {
		w.nodes[c.nodes.last-1].next = at
	}
	c.nodes.last = at
}

// giveDirect is give for a frame that counts as waiting until it is written.
func (w *worker) giveDirect(c *Conn, f wire.Frame) {
	if c.said {
		c.out.direct.Add(-int64(len(f)))
		return
	}
	c.handed += int64(len(f))
	w.give(c, f)
}

// farewell is the last that a connection gets.
func (w *worker) farewell(c *Conn) {
	if c.said {
		return
	}
	w.give(c, c.ending.Load().frame())
	w.nodes[c.nodes.last-1].farewell = true
	c.said = true
}

// takeBack takes from the connection what is not written yet, but for the
// farewell.
func (w *worker) takeBack(c *Conn) {
	c.out.takeBack()
	if c.nodes.first == 0 {
		return
	}
	if last := &w.nodes[c.nodes.last-1]; last.farewell {
		c.nodes.first = c.nodes.last
		return
	}
	last := c.nodes.last
	w.nodes[last-1].frame, c.nodes.first = nil, last // it stays touched
}

func (w *worker) writeNodes(c *Conn) {
	for at := c.nodes.first; at > 0; {
		n := &w.nodes[at-1]
		w.list.frames = append(w.list.frames, n.frame)
		w.list.farewell = n.farewell
		at = n.next
	}
	c.nodes = ends{}
	w.join()
	w.write(c)
	w.list.reset()
	c.out.direct.Add(-c.handed)
	c.handed = 0
}
