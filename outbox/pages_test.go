package outbox

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/rohrposttest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

// A page sees no difference: the changes of a program whose hub has no broker arrive in
// their order, and a resync by pattern reaches it.
func TestPage(t *testing.T) {
	onEach(t, func(t *testing.T, e engine) {
		n := nodeOn(t, e, e.create(t), nil, gorm.Config{}, Config{})
		page := rohrposttest.Dial(t, n.hub)
		page.Subscribe("item-1")
		n.run()
		require.NoError(t, n.db.Create(&item{ID: 1}).Error)
		page.Expect("item-1", rohrpost.Create)
		for i := range 20 {
			require.NoError(t, n.db.Model(&item{ID: 1}).Update("version", i+1).Error)
		}
		for i := range 20 {
			change := page.Expect("item-1", rohrpost.Update)
			assert.Equal(t, fmt.Sprint(i+1), fmt.Sprintf("%s", change.Object))
		}
		require.NoError(t, rohrpost.Notify(n.db, rohrpost.Change{Group: "item-{id}", Type: rohrpost.Resync}))
		page.Expect("item-1", rohrpost.Resync)
		require.NoError(t, n.db.Delete(&item{ID: 1}).Error)
		page.Expect("item-1", rohrpost.Delete)
	})
}

// The pages of two nodes see the versions of a row in the order in which they were
// committed, whichever node has written them.
func TestOrderAcrossNodes(t *testing.T) {
	const writers, versions = 4, 60
	onEach(t, func(t *testing.T, e engine) {
		shared, dsn := rohrpost.NewMemoryBroker(rohrpost.HistoryLimits{}), e.create(t)
		nodes := []*node{nodeOn(t, e, dsn, shared, gorm.Config{}, Config{}), nodeOn(t, e, dsn, shared.Peer(), gorm.Config{}, Config{})}
		var pages []*rohrposttest.Conn
		for _, n := range nodes {
			page := rohrposttest.Dial(t, n.hub)
			page.Subscribe("item-1")
			pages = append(pages, page)
			n.run()
		}
		require.NoError(t, nodes[0].db.Create(&item{ID: 1}).Error)
		var group sync.WaitGroup
		for w := range writers {
			group.Go(func() {
				for range versions / writers {
					n := nodes[(w+rand.IntN(2))%2]
					assert.NoError(t, n.db.Model(&item{ID: 1}).Update("version", gorm.Expr("version + 1")).Error)
				}
			})
		}
		group.Wait()
		for _, page := range pages {
			page.Expect("item-1", rohrpost.Create)
			for i := range versions {
				change := page.Expect("item-1", rohrpost.Update)
				require.Equal(t, fmt.Sprint(i+1), fmt.Sprintf("%s", change.Object))
			}
			page.ExpectNothing()
		}
	})
}

// One plugin may serve several databases: each needs an outbox, and the log tells of one
// that has none.
func TestSeveralDatabases(t *testing.T) {
	e := engines[0]
	s := &sink{}
	first := nodeOn(t, e, e.create(t), s, gorm.Config{}, Config{})
	second, err := open(e.name, e.create(t), gorm.Config{})
	require.NoError(t, err)
	pool, err := second.DB()
	require.NoError(t, err)
	defer func() { _ = pool.Close() }()
	require.NoError(t, second.Use(first.db.Plugins["rohrpost"]))
	require.NoError(t, second.AutoMigrate(&item{}))

	require.NoError(t, first.db.Create(&item{ID: 1}).Error)
	require.NoError(t, second.Create(&item{ID: 2}).Error)
	assert.EqualValues(t, 1, first.rows())
	assert.Contains(t, first.logs.String(), "call outbox.New with its handle")
	require.NoError(t, first.hub.Flush(t.Context()))
	assert.Equal(t, []string{"item-2 create 0"}, s.take())

	box, err := New(second, first.hub, Config{})
	require.NoError(t, err)
	require.NoError(t, second.Create(&item{ID: 3}).Error)
	other := &relay{Outbox: box}
	other.rounds(t)
	relayOf(first).rounds(t)
	assert.Equal(t, []string{"item-3 create 0", "item-1 create 0"}, s.take())
}

// New says what is wrong.
func TestNew(t *testing.T) {
	e := engines[0]
	n := nodeOn(t, e, e.create(t), &sink{}, gorm.Config{}, Config{})
	bare, err := open(e.name, e.create(t), gorm.Config{})
	require.NoError(t, err)
	pool, err := bare.DB()
	require.NoError(t, err)
	defer func() { _ = pool.Close() }()
	for want, create := range map[string]func() (*Outbox, error){
		"outbox: no hub":              func() (*Outbox, error) { return New(n.db, nil, Config{}) },
		"db.Use(rohrpost.Plugin(hub)": func() (*Outbox, error) { return New(bare, n.hub, Config{}) },
		"need the same hub":           func() (*Outbox, error) { return New(n.db, rohrpost.NewHub(rohrpost.Config{}), Config{}) },
		"has an outbox already":       func() (*Outbox, error) { return New(n.db, n.hub, Config{}) },
	} {
		_, err := create()
		require.ErrorContains(t, err, want)
	}
}
