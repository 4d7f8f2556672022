package fanout

import (
	"testing"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/stretchr/testify/assert"
)

func TestSequencer(t *testing.T) {
	at := func(epoch string, offset uint64) broker.Position {
		return broker.Position{Epoch: epoch, Offset: offset}
	}
	for _, row := range []struct {
		name    string
		open    broker.Position
		filling bool
		message broker.Position
		before  uint64
		want    verdict
		then    broker.Position
	}{
		{"next", at("A", 3), false, at("A", 4), 3, inOrder, at("A", 4)},
		{"next, and offsets skip", at("A", 3), false, at("A", 9), 3, inOrder, at("A", 9)},
		{"again", at("A", 3), false, at("A", 3), 2, duplicate, at("A", 3)},
		{"older", at("A", 3), false, at("A", 1), 0, duplicate, at("A", 3)},
		{"one is missing", at("A", 3), false, at("A", 5), 4, gap, at("A", 3)},
		{"next, while a gap is filled", at("A", 3), true, at("A", 4), 3, gap, at("A", 3)},
		{"another epoch", at("A", 3), false, at("B", 4), 3, gap, at("A", 3)},
		{"no position", at("A", 3), false, at("", 0), 0, inOrder, at("A", 3)},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newSequencer()
			assert.False(t, s.isOpen())
			assert.False(t, s.open(row.open))
			s.filling = row.filling
			assert.Equal(t, row.want, s.accept(row.message, row.before))
			assert.Equal(t, row.then, s.at)
		})
	}
}

func TestSequencerOpensBehind(t *testing.T) {
	s := newSequencer()
	assert.Equal(t, gap, s.accept(broker.Position{Epoch: "A", Offset: 7}, 6), "it is not open")
	assert.True(t, s.open(broker.Position{Epoch: "A", Offset: 6}), "the broker delivered 7 before it told the position")
	assert.True(t, s.covers(broker.Position{Epoch: "A", Offset: 7}))
	assert.False(t, s.covers(broker.Position{Epoch: "A", Offset: 6}))
	assert.False(t, s.covers(broker.Position{Epoch: "B", Offset: 7}))
}
