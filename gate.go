package rohrpost

// gate lets the messages of a stream pass to the members of its group, each once
// and in order. There is one for a group, whoever its members are. What does not
// pass is in the history of the stream: a gate that has missed something is behind
// until somebody has read it there. It is guarded by the shard of its group.
type gate struct {
	Position
	ready chan struct{} // closed when the gate opens; nil: it is open

	behind bool     // somebody reads what was missed
	turned Position // the latest that did not pass
	turns  uint     // how many did not
}

// verdict is what a gate says of a message.
type verdict int

const (
	passes verdict = iota
	duplicate
	missing // something before it has not come
)

// check decides about a message, and moves on if it passes: before anybody is
// handed it.
func (g *gate) check(epoch string, offset uint64) verdict {
	switch {
	case offset == 0: // a plain message, or a broker that gives no positions
		return passes
	case g.ready == nil && epoch == g.Epoch && offset <= g.Offset:
		return duplicate
	case g.ready == nil && epoch == g.Epoch && offset == g.Offset+1 && !g.behind:
		g.Offset = offset
		return passes
	}
	g.turns++
	if epoch != g.turned.Epoch || offset > g.turned.Offset {
		g.turned = Position{epoch, offset}
	}
	return missing
}

// open opens the gate at a position, and reports whether it is behind already.
func (g *gate) open(at Position) (behind bool) {
	g.Position = at
	close(g.ready)
	g.ready = nil
	return g.turns > 0 && !g.covers(at)
}

// covers reports whether nothing is missing to who has read up to a position.
func (g *gate) covers(read Position) bool {
	return g.turned.Epoch == read.Epoch && g.turned.Offset <= read.Offset
}
