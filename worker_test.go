package rohrpost

import (
	"testing"

	"github.com/rohrpost/rohrpost/internal/wire"
	"github.com/stretchr/testify/assert"
)

// What cannot be handed out as fast as it is published does not pile up: its
// groups are told to load their state again, once each.
func TestPendingIsBounded(t *testing.T) {
	w := &worker{running: true} // busy
	parts := []*part{{group: &group{name: "a"}}, {group: &group{name: "b"}}}
	f := make(wire.Frame, 1<<20)
	for i := range 100 {
		w.add(op{kind: opPost, part: parts[i%2], frame: f})
	}
	assert.Len(t, w.pending, maxPending/len(f)+2)
	for i, o := range w.pending[maxPending/len(f):] {
		assert.Same(t, parts[i], o.part)
		assert.Contains(t, string(o.frame), `"group":"`+o.part.group.name+`","object":{"reason":"flood"}`)
	}
	w.add(op{kind: opJoin, part: parts[0]})
	assert.Equal(t, opJoin, w.pending[len(w.pending)-1].kind, "nothing else is lost")
}
