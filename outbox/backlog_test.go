package outbox

import (
	"fmt"
	"testing"
	"time"

	"github.com/rohrpost/rohrpost"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

// The table is bounded on request, while the broker is away: the oldest rows become resyncs of
// their groups, at their place, and no row goes without that.
func TestResyncOldest(t *testing.T) {
	onEach(t, func(t *testing.T, e engine) {
		s := &sink{}
		n := nodeOn(t, e, e.create(t), s, gorm.Config{}, Config{MaxRows: 10, ResyncOldest: true})
		n.notify("before")
		r := relayOf(n)
		r.rounds(t)
		s.take()
		s.set(func(s *sink) { s.away = true })
		for i := range 25 {
			require.NoError(t, rohrpost.Notify(n.db, rohrpost.Change{Group: fmt.Sprint("g-", i%3), Type: rohrpost.Update, Object: i}))
		}
		r.checked = time.Time{} // five seconds later
		_, err := r.round(t.Context())
		require.ErrorIs(t, err, errAway)
		assert.False(t, r.isDue())
		assert.EqualValues(t, 1, n.unpublished())
		assert.Contains(t, n.logs.String(), "more than 10 rows wait")
		assert.EqualValues(t, 11, n.box.Stats().Waiting)
		require.ErrorContains(t, n.box.Healthy(t.Context()), "away")
		assert.EqualValues(t, 24, n.box.Stats().Resyncs)
		require.NoError(t, rohrpost.Notify(n.db, rohrpost.Change{Group: "g-0", Type: rohrpost.Update, Object: "after"}))
		s.set(func(s *sink) { s.away = false })
		r.rounds(t)
		assert.Equal(t, []string{
			`g-0 resync {"reason":"overflow"}`, `g-1 resync {"reason":"overflow"}`, `g-2 resync {"reason":"overflow"}`, `g-0 update "after"`,
		}, s.take())
		require.NoError(t, n.box.Healthy(t.Context()))
	})
}

// unpublished returns how many rows have no number.
func (n *node) unpublished() (rows int64) {
	require.NoError(n.t, n.db.Model(&outboxRow{}).Where("number IS NULL").Count(&rows).Error)
	return rows
}

// A bound of more rows than a round has is kept too.
func TestManyRows(t *testing.T) {
	onEach(t, func(t *testing.T, e engine) {
		const most = roundRows + 100
		n := nodeOn(t, e, e.create(t), &sink{}, gorm.Config{}, Config{MaxRows: most})
		rows := make([]outboxRow, most+5)
		for i := range rows {
			rows[i] = outboxRow{Batch: encode(nil), Created: time.Now().UnixMilli()}
		}
		require.NoError(t, n.db.CreateInBatches(rows, 500).Error)
		assert.EqualValues(t, most+1, n.rows())
		require.ErrorContains(t, n.box.Healthy(t.Context()), "more than 1100 rows wait")
	})
}

// Without that option the rows stay, and Healthy, the log and Stats tell of them.
func TestBacklog(t *testing.T) {
	onEach(t, func(t *testing.T, e engine) {
		n := nodeOn(t, e, e.create(t), &sink{}, gorm.Config{}, Config{MaxRows: 3})
		for i := range 3 {
			n.notify(i)
		}
		require.NoError(t, n.box.Healthy(t.Context()))
		n.notify("more")
		require.ErrorContains(t, n.box.Healthy(t.Context()), "outbox: more than 3 rows wait: look whether a relay runs")
		r := relayOf(n)
		r.look(t.Context())
		assert.Contains(t, n.logs.String(), "more than 3 rows wait")
		assert.EqualValues(t, 4, n.box.Stats().Waiting)
		assert.EqualValues(t, 4, n.unpublished())
		r.rounds(t)
		require.NoError(t, n.box.Healthy(t.Context()))

		require.NoError(t, n.db.Create(&outboxRow{Batch: encode(nil), Created: time.Now().Add(-time.Hour).UnixMilli()}).Error)
		require.ErrorContains(t, n.box.Healthy(t.Context()), "a row has waited for 1h0m0s")
	})
}
