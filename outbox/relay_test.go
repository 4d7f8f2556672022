package outbox

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/rohrposttest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

// all returns the rows of the table.
func (n *node) all() (rows []outboxRow) {
	n.t.Helper()
	require.NoError(n.t, n.db.Order("id").Find(&rows).Error)
	return rows
}

// isTidy reports whether the table has the newest row only, without its batch.
func (n *node) isTidy() bool {
	rows := n.all()
	return len(rows) == 1 && rows[0].Number != nil && len(rows[0].Batch) == 0
}

// A broker forgets the number of a source that has been silent for an hour. No row is
// published again then, and none counts as waiting.
func TestForgottenSource(t *testing.T) {
	onEach(t, func(t *testing.T, e engine) {
		for name, stays := range map[string]bool{"new relay": false, "running relay": true} {
			t.Run(name, func(t *testing.T) {
				s := &sink{}
				n := nodeOn(t, e, e.create(t), s, gorm.Config{}, Config{MaxAge: time.Nanosecond})
				r := relayOf(n)
				for i := range 3 {
					n.notify(i)
				}
				r.rounds(t)
				assert.Equal(t, []string{"g update 0", "g update 1", "g update 2"}, s.take())

				s.set(func(s *sink) { s.taken = nil })
				assert.Zero(t, n.rows())
				require.NoError(t, n.box.Healthy(t.Context()))
				if r.checked = (time.Time{}); !stays {
					r = relayOf(n)
				}
				r.rounds(t)
				assert.Empty(t, s.take())
				assert.EqualValues(t, 3, s.taken[r.source], "the broker knows the number again")
				n.notify("next")
				r.rounds(t)
				assert.Equal(t, []string{`g update "next"`}, s.take())
				assert.True(t, n.isTidy())
			})
		}
	})
}

// A hub without a broker forgets what it has taken when its process ends. The next one
// publishes what is new, also if the relay ended between publishing and removing.
func TestNextProcess(t *testing.T) {
	onEach(t, func(t *testing.T, e engine) {
		for _, interrupted := range []bool{false, true} {
			t.Run(fmt.Sprint("interrupted ", interrupted), func(t *testing.T) {
				dsn := e.create(t)
				first := nodeOn(t, e, dsn, nil, gorm.Config{}, Config{})
				require.NoError(t, first.db.Create(&[]item{{ID: 1}, {ID: 2}}).Error)
				require.NoError(t, first.db.Delete(&item{ID: 2}).Error)
				r := relayOf(first)
				require.NoError(t, r.resume(t.Context()))
				found, err := r.number(t.Context())
				require.NoError(t, err)
				ctx, cancel := context.WithCancel(t.Context())
				if interrupted {
					cancel()
				}
				if _, err = r.publish(ctx, found); interrupted {
					require.ErrorIs(t, err, context.Canceled)
					r.failed(ctx, err)
				}
				cancel()
				require.NoError(t, r.run(ctx))
				assert.True(t, first.isTidy())

				next := nodeOn(t, e, dsn, nil, gorm.Config{}, Config{})
				require.NoError(t, next.db.Model(&item{ID: 1}).Update("version", 1).Error)
				page := rohrposttest.Dial(t, next.hub)
				page.Subscribe("item-1")
				next.run()
				page.Expect("item-1", rohrpost.Update)
			})
		}
	})
}

// A relay that dies between publishing and removing leaves rows that the hub has taken. They
// are removed by another one, whether it publishes something itself or not.
func TestLeftRows(t *testing.T) {
	onEach(t, func(t *testing.T, e engine) {
		for name, test := range map[string]struct{ runs, publishes bool }{
			"new relay": {}, "new relay, busy": {publishes: true}, "running relay": {runs: true}, "running relay, busy": {true, true},
		} {
			t.Run(name, func(t *testing.T) {
				s := &sink{}
				n := nodeOn(t, e, e.create(t), s, gorm.Config{}, Config{})
				n.notify("before")
				r := relayOf(n)
				if test.runs {
					r.rounds(t)
				}
				for i := range 5 {
					n.notify(i)
				}
				n.publishWithoutRemoving()
				if test.publishes {
					n.notify("latest")
				}
				r.checked = time.Time{} // five seconds later
				_, err := r.round(t.Context())
				require.NoError(t, err)
				assert.Len(t, n.all(), 1)

				r.rounds(t)
				s.set(func(s *sink) { s.taken, s.messages = nil, nil })
				relayOf(n).rounds(t)
				assert.Empty(t, s.take(), "old changes come after the latest")
			})
		}
	})
}

// publishWithoutRemoving is a relay that dies too early.
func (n *node) publishWithoutRemoving() {
	n.t.Helper()
	dying := relayOf(n)
	require.NoError(n.t, dying.resume(n.t.Context()))
	found, err := dying.number(n.t.Context())
	require.NoError(n.t, err)
	call, rest := dying.nextCall(found.rows)
	require.Empty(n.t, rest)
	require.NoError(n.t, n.hub.PublishBatches(n.t.Context(), call))
}

// patient is a broker that waits for its engine as long as it is let.
type patient struct {
	*sink
	bounded bool
}

func (p *patient) Taken(ctx context.Context, source string) (uint64, error) {
	_, p.bounded = ctx.Deadline()
	return p.sink.Taken(ctx, source)
}

// A relay does not wait without end for a broker whose engine is away: it looks at the table
// meanwhile, and tells of its failure.
func TestTakenIsBounded(t *testing.T) {
	p := &patient{sink: &sink{}}
	n := nodeOn(t, engines[0], engines[0].create(t), p, gorm.Config{}, Config{})
	require.NoError(t, relayOf(n).resume(t.Context()))
	assert.True(t, p.bounded)
}
