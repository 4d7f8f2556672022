package fanout

import (
	"testing"

	"github.com/rohrpost/rohrpost/internal/wire"
	"github.com/stretchr/testify/assert"
)

// TestPendingIsBounded publishes more than a worker can write: the groups get one
// resync each in place of what exceeds the bound.
func TestPendingIsBounded(t *testing.T) {
	w := &worker{running: true} // busy
	lists := []*memberList{{group: &group{name: "a"}}, {group: &group{name: "b"}}}
	f := make(wire.Frame, 1<<20)
	for i := range 100 {
		w.submit(op{kind: opPost, list: lists[i%2], frame: f})
	}
	assert.Len(t, w.pending, maxPending/len(f)+2)
	for i, o := range w.pending[maxPending/len(f):] {
		assert.Same(t, lists[i], o.list)
		assert.Contains(t, string(o.frame), `"group":"`+o.list.group.name+`","object":{"reason":"overflow","spread":0}}`)
	}
	w.submit(op{kind: opJoin, list: lists[0]})
	assert.Equal(t, opJoin, w.pending[len(w.pending)-1].kind, "no other op is dropped")
}
