package outbox

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/rohrpost/rohrpost"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

var errWanted = errors.New("wanted")

// Every committed change becomes one message, in its order, and a rolled back one none.
func TestMessages(t *testing.T) {
	for name, config := range map[string]gorm.Config{"plain": {}, "no default tx": {SkipDefaultTransaction: true}, "prepared": {PrepareStmt: true}} {
		onEach(t, func(t *testing.T, e engine) {
			t.Run(name, func(t *testing.T) {
				s := &sink{}
				n := nodeOn(t, e, e.create(t), s, config, Config{})
				stop := n.run()
				require.NoError(t, n.db.Create(&[]item{{ID: 1}, {ID: 2}}).Error)
				require.NoError(t, n.db.Model(&item{}).Where("id = ?", 1).Update("version", 7).Error)
				require.ErrorIs(t, n.db.Transaction(func(tx *gorm.DB) error {
					require.NoError(t, tx.Create(&item{ID: 3}).Error)
					return errWanted
				}), errWanted)
				require.NoError(t, n.db.Transaction(func(tx *gorm.DB) error {
					require.NoError(t, tx.Create(&item{ID: 4}).Error)
					require.ErrorIs(t, tx.Transaction(func(tx *gorm.DB) error {
						require.NoError(t, tx.Create(&item{ID: 5}).Error)
						return errWanted
					}), errWanted)
					return rohrpost.Notify(tx, rohrpost.Change{Group: "all", Type: rohrpost.Update, Object: "in"})
				}))
				require.NoError(t, rohrpost.Notify(n.db, rohrpost.Change{Group: "all", Type: rohrpost.Update, Object: "out"}))
				require.NoError(t, n.db.Delete(&item{ID: 2}).Error)
				n.drain()
				assert.Equal(t, []string{
					"item-1 create 0", "item-2 create 0", "item-1 update 7", "item-4 create 0", `all update "in"`, `all update "out"`, "item-2 delete 0",
				}, s.take())
				stop()
				require.NoError(t, n.db.Delete(&item{ID: 1}).Error)
				assert.EqualValues(t, 1, n.rows(), "no relay runs")
				n.run()
				n.drain()
				assert.Equal(t, []string{"item-1 delete 7"}, s.take())
				assert.Eventually(t, func() bool {
					var left int64
					require.NoError(t, n.db.Model(&outboxRow{}).Count(&left).Error)
					return left == 1
				}, 10*time.Second, time.Millisecond, "the newest row stays")
			})
		})
	}
}

// A commit that cannot be stored has not happened.
func TestCommitIsRefused(t *testing.T) {
	onEach(t, func(t *testing.T, e engine) {
		s := &sink{}
		n := nodeOn(t, e, e.create(t), s, gorm.Config{}, Config{})
		require.NoError(t, n.db.Exec("ALTER TABLE rohrpost_outbox RENAME TO gone").Error)
		err := n.db.Create(&item{ID: 1}).Error
		require.ErrorContains(t, err, "rohrpost: the outbox could not be written: ")
		require.ErrorContains(t, n.db.Transaction(func(tx *gorm.DB) error { return tx.Create(&item{ID: 1}).Error }), "could not be written")
		require.ErrorContains(t, rohrpost.Notify(n.db, rohrpost.Change{Group: "g", Type: rohrpost.Update}), "could not be written")
		require.Error(t, n.box.Healthy(t.Context()))
		require.NoError(t, n.db.Exec("ALTER TABLE gone RENAME TO rohrpost_outbox").Error)
		var count int64
		require.NoError(t, n.db.Model(&item{}).Count(&count).Error)
		assert.Zero(t, count)
		require.NoError(t, n.db.Create(&item{ID: 1}).Error)
		n.run()
		n.drain()
		assert.Equal(t, []string{"item-1 create 0"}, s.take())
	})
}

// A transaction that PostgreSQL has aborted ends as it does without an outbox.
func TestAbortedTransaction(t *testing.T) {
	e := engines[1]
	dsn := e.create(t)
	plain, err := open(e.name, dsn, gorm.Config{})
	require.NoError(t, err)
	n := nodeOn(t, e, dsn, &sink{}, gorm.Config{}, Config{})
	abort := func(db *gorm.DB) string {
		tx := db.Begin()
		require.NoError(t, tx.Create(&item{ID: 1}).Error)
		require.Error(t, tx.Exec("SELECT * FROM nothing").Error)
		err := tx.Commit().Error
		require.Error(t, err)
		return err.Error()
	}
	assert.Equal(t, abort(plain), abort(n.db))
	assert.Zero(t, n.rows())
	pool, err := plain.DB()
	require.NoError(t, err)
	require.NoError(t, pool.Close())
}

// While the broker does not answer, or its answers are lost, rows wait; then each is
// published once.
func TestBrokerIsAway(t *testing.T) {
	onEach(t, func(t *testing.T, e engine) {
		s := &sink{away: true}
		n := nodeOn(t, e, e.create(t), s, gorm.Config{}, Config{MaxAge: time.Millisecond})
		n.run()
		var want []string
		for i := range 20 {
			require.NoError(t, n.db.Create(&item{ID: uint(i + 1)}).Error)
			want = append(want, fmt.Sprintf("item-%d create 0", i+1))
		}
		assert.Eventually(t, func() bool { return n.box.Healthy(t.Context()) != nil }, 10*time.Second, time.Millisecond)
		assert.Empty(t, s.take())
		s.set(func(s *sink) { s.away, s.lost = false, true })
		assert.Eventually(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.messages) == 20 }, 30*time.Second, time.Millisecond)
		s.set(func(s *sink) { s.lost = false })
		n.drain()
		assert.Equal(t, want, s.take())
		assert.Contains(t, n.logs.String(), "rows cannot be published")
		require.NoError(t, n.box.Healthy(t.Context()))
	})
}

// A refused row becomes a resync of its groups, and those behind it go on.
func TestRefusedRow(t *testing.T) {
	s := &sink{refuses: `"spicy"`}
	n := nodeOn(t, engines[0], engines[0].create(t), s, gorm.Config{}, Config{})
	for _, object := range []string{"mild", "spicy", "sweet"} {
		require.NoError(t, rohrpost.Notify(n.db, rohrpost.Change{Group: "g", Type: rohrpost.Update, Object: object}))
	}
	n.run()
	n.drain()
	assert.Equal(t, []string{`g update "mild"`, `g resync {"reason":"overflow"}`, `g update "sweet"`}, s.take())
}

// Several nodes publish the rows of all, each once and in the order of the commits of a row.
func TestTwoRelays(t *testing.T) {
	onEach(t, func(t *testing.T, e engine) {
		s, dsn := &sink{}, e.create(t)
		a := nodeOn(t, e, dsn, s, gorm.Config{}, Config{})
		b := nodeOn(t, e, dsn, s, gorm.Config{}, Config{})
		a.run()
		b.run()
		require.NoError(t, a.db.Create(&item{ID: 1}).Error)
		var want []string
		for i := range 100 {
			n := []*node{a, b}[i%2]
			require.NoError(t, n.db.Model(&item{ID: 1}).Update("version", i+1).Error)
			want = append(want, fmt.Sprintf("item-1 update %d", i+1))
		}
		a.drain()
		assert.Equal(t, append([]string{"item-1 create 0"}, want...), s.take())
	})
}

// A hub without a broker claims the table: another process gets an error.
func TestClaim(t *testing.T) {
	onEach(t, func(t *testing.T, e engine) {
		dsn := e.create(t)
		a := nodeOn(t, e, dsn, nil, gorm.Config{}, Config{})
		b := nodeOn(t, e, dsn, nil, gorm.Config{}, Config{})
		c := nodeOn(t, e, dsn, &sink{}, gorm.Config{}, Config{})
		stop := a.run()
		assert.Eventually(t, func() bool { return a.owner() != "" }, 10*time.Second, time.Millisecond)
		require.ErrorIs(t, b.box.Run(t.Context()), ErrClaimed)
		require.ErrorIs(t, c.box.Run(t.Context()), ErrClaimed)
		require.ErrorIs(t, a.box.Run(t.Context()), ErrRunning)
		stop()
		assert.Empty(t, a.owner(), "it gives the claim up")

		// One that has died is followed after a while, and notices that when it comes back.
		require.NoError(t, a.db.Model(&relayRow{}).Where("id = 1").Update("owner", "dead").Error)
		began := time.Now()
		stop = b.run()
		assert.Eventually(t, func() bool { return b.owner() != "dead" }, 10*time.Second, time.Millisecond)
		assert.GreaterOrEqual(t, time.Since(began), deadAfter)
		stop()
		ended := make(chan error, 1)
		go func() { ended <- a.box.Run(context.Background()) }()
		assert.Eventually(t, func() bool { return a.owner() != "" }, 10*time.Second, time.Millisecond)
		require.NoError(t, a.db.Model(&relayRow{}).Where("id = 1").Update("owner", "another").Error)
		require.ErrorIs(t, <-ended, ErrClaimed)
	})
}

func (n *node) owner() string {
	var row relayRow
	require.NoError(n.t, n.db.First(&row).Error)
	return row.Owner
}
