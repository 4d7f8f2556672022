package sqlbroker_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/mysql"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/brokertest"
	"github.com/rohrpost/rohrpost/sqlbroker"
)

func each(t *testing.T, test func(t *testing.T, e engine)) {
	for _, e := range engines() {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			test(t, e)
		})
	}
}

func TestContract(t *testing.T) {
	each(t, func(t *testing.T, e engine) { brokertest.Run(t, contract(e, sqlbroker.Config{})) })
}

func TestConfig(t *testing.T) {
	db, err := gorm.Open(sqlite.Open(":memory:"))
	require.NoError(t, err)
	for text, c := range map[string]sqlbroker.Config{
		`Config.App is ""`:                       {},
		`Config.App is "A"`:                      {App: "A"},
		"Config.KeepUnused is 1s":                {App: "a", KeepUnused: time.Second},
		"Config.PollBusy and PollIdle":           {App: "a", PollBusy: time.Second, PollIdle: time.Millisecond},
		"Config.Listen is for PostgreSQL; the d": {App: "a", Listen: "host=x"},
	} {
		_, err := sqlbroker.New(db, c)
		assert.ErrorContains(t, err, text)
	}
}

// TestOneProgramEach keeps two programs on one database apart.
func TestOneProgramEach(t *testing.T) {
	each(t, func(t *testing.T, e engine) {
		a, b := open(t, e, sqlbroker.Config{}), open(t, e, sqlbroker.Config{})
		_, err := a.Follow(t.Context(), []string{"g"})
		require.NoError(t, err)
		publish(t, a, 1, "x")
		at, err := b.Positions(t.Context(), []string{"g"})
		require.NoError(t, err)
		assert.Zero(t, at[0])
	})
}

// TestTouch lets streams go on where hubs follow them, and not where hubs only publish.
func TestTouch(t *testing.T) {
	each(t, func(t *testing.T, e engine) {
		for name, test := range map[string]struct {
			keep    time.Duration
			call    func(o opened) error
			touched bool
		}{
			"follow":           {0, func(o opened) error { _, err := o.Follow(t.Context(), []string{"g"}); return err }, true},
			"positions":        {0, func(o opened) error { _, err := o.Positions(t.Context(), []string{"g"}); return err }, true},
			"publish":          {0, func(o opened) error { return o.Publish(t.Context(), []broker.Batch{toEach([]string{"g"}, 1, 1)}) }, false},
			"kept without end": {-1, func(o opened) error { _, err := o.Positions(t.Context(), []string{"g"}); return err }, false},
		} {
			t.Run(name, func(t *testing.T) {
				o := open(t, e, sqlbroker.Config{KeepUnused: test.keep})
				epoch(t, o)
				require.NoError(t, o.age(2*time.Minute))
				before := time.Now().UnixMilli()
				require.NoError(t, test.call(o))
				var touched int64
				require.NoError(t, o.db.Table(o.table("streams")).Pluck("touched", &touched).Error)
				assert.Equal(t, test.touched, touched >= before)
			})
		}
	})
}

// TestPublishWithoutHubs lets a process publish that never runs, long after the last hub.
func TestPublishWithoutHubs(t *testing.T) {
	each(t, func(t *testing.T, e engine) {
		for name, test := range map[string]struct {
			keep, unused, other time.Duration // since when g, and another stream, were touched
			ends, otherEnds     bool
		}{
			"while a hub runs":            {0, time.Minute, time.Hour, false, false},
			"before a hub would end them": {0, 10 * time.Minute, 10 * time.Minute, false, false},
			"later":                       {0, 12 * time.Minute, 7 * time.Minute, true, true},
			"another one is used":         {0, 12 * time.Minute, 5 * time.Minute, true, false},
			"kept for long":               {time.Hour, 30 * time.Minute, 0, false, false},
			"kept without end":            {-1, 24 * time.Hour, 0, false, false},
		} {
			t.Run(name, func(t *testing.T) {
				o := open(t, e, sqlbroker.Config{KeepUnused: test.keep})
				before, err := o.Follow(t.Context(), []string{"g", "other"})
				require.NoError(t, err)
				for stream, unused := range map[string]time.Duration{"g": test.unused, "other": test.other} {
					touched := time.Now().Add(-unused).UnixMilli()
					require.NoError(t, o.db.Exec("UPDATE "+o.table("streams")+" SET touched = ? WHERE name = ?", touched, []byte(stream)).Error)
				}
				publish(t, o, 1, "x")
				var messages int64
				require.NoError(t, o.db.Table(o.table("messages")).Count(&messages).Error)
				assert.Equal(t, test.ends, messages == 0)
				after, err := o.Follow(t.Context(), []string{"g", "other"})
				require.NoError(t, err)
				assert.Equal(t, test.ends, before[0].Epoch != after[0].Epoch, "a new epoch")
				assert.Equal(t, test.otherEnds, before[1].Epoch != after[1].Epoch, "a new epoch of the other one")
			})
		}
	})
}

// TestRenew gives all streams new epochs.
func TestRenew(t *testing.T) {
	each(t, func(t *testing.T, e engine) {
		o := open(t, e, sqlbroker.Config{})
		before, err := o.Follow(t.Context(), []string{"g"})
		require.NoError(t, err)
		require.NoError(t, o.Renew(t.Context()))
		gone, err := o.Positions(t.Context(), []string{"g"})
		require.NoError(t, err)
		assert.Zero(t, gone[0])
		after, err := o.Follow(t.Context(), []string{"g"})
		require.NoError(t, err)
		assert.NotEqual(t, before[0].Epoch, after[0].Epoch)
	})
}

// TestWentBack restores the database under a hub that only publishes, one that only reads,
// and one that only asks for positions: each finds it before it answers.
func TestWentBack(t *testing.T) {
	each(t, func(t *testing.T, e engine) {
		for name, call := range map[string]func(o opened) error{
			"publish": func(o opened) error {
				return o.Publish(t.Context(), []broker.Batch{{Source: "other", Number: 1, Messages: []broker.Message{{Stream: "g"}}}})
			},
			"read":      func(o opened) error { _, err := o.Read(t.Context(), "g", 0, 1); return err },
			"follow":    func(o opened) error { _, err := o.Follow(t.Context(), []string{"other"}); return err },
			"positions": func(o opened) error { _, err := o.Positions(t.Context(), []string{"g"}); return err },
		} {
			t.Run(name, func(t *testing.T) {
				o := open(t, e, sqlbroker.Config{})
				other := peer(t, o)
				before, err := o.Follow(t.Context(), []string{"g"})
				require.NoError(t, err)
				publish(t, o, 1, "kept")
				o.restore(t, func() { publish(t, o, 2, "lost", "lost") })
				require.NoError(t, call(o))
				after, err := other.Follow(t.Context(), []string{"g"}) // knows nothing
				require.NoError(t, err)
				assert.NotEqual(t, before[0].Epoch, after[0].Epoch)
			})
		}
	})
}

// TestOvertaken restores the database, and another hub goes beyond the lost messages
// before this one looks.
func TestOvertaken(t *testing.T) {
	each(t, func(t *testing.T, e engine) {
		o := open(t, e, sqlbroker.Config{})
		other := peer(t, o)
		before, err := o.Follow(t.Context(), []string{"g"})
		require.NoError(t, err)
		o.restore(t, func() { publish(t, o, 2, "lost", "lost") })
		publish(t, other, 9, "a", "b", "c", "d", "e")
		at, err := o.Positions(t.Context(), []string{"g"})
		require.NoError(t, err)
		assert.NotEqual(t, before[0].Epoch, at[0].Epoch)
	})
}

// TestWentBackWhileItRuns restores the database under three hubs that only listen: each
// finds it by itself, and all begin the same epoch.
func TestWentBackWhileItRuns(t *testing.T) {
	each(t, func(t *testing.T, e engine) {
		hubs := []opened{open(t, e, sqlbroker.Config{})}
		hubs = append(hubs, peer(t, hubs[0]), peer(t, hubs[0]))
		before := epoch(t, hubs[0])
		publish(t, hubs[0], 1, "kept")
		ends := make(chan error, len(hubs))
		var came sync.WaitGroup
		for _, hub := range hubs {
			came.Add(1)
			epoch(t, hub)
			ready := make(chan struct{})
			go func() { ends <- hub.Run(t.Context(), func() { close(ready) }, func([]broker.Message) { came.Done() }) }()
			<-ready
		}
		hubs[0].restore(t, func() {
			publish(t, hubs[0], 2, "lost", "lost")
			came.Wait()
		})
		for range hubs {
			require.ErrorContains(t, <-ends, "the database has lost messages")
		}
		after := epoch(t, hubs[0])
		assert.NotEqual(t, before, after)
		for _, hub := range append(hubs, peer(t, hubs[0])) {
			assert.Equal(t, after, epoch(t, hub))
		}
	})
}

// TestWentBackBeforeAnEra restores the database to a copy of an earlier era. Its epochs
// were used for messages that are lost now.
func TestWentBackBeforeAnEra(t *testing.T) {
	each(t, func(t *testing.T, e engine) {
		for name, inNewEra := range map[string]bool{"with messages": true, "without": false} {
			t.Run(name, func(t *testing.T) {
				o := open(t, e, sqlbroker.Config{})
				seen := []string{epoch(t, o)}
				publish(t, o, 1, "kept")
				o.restore(t, func() {
					publish(t, o, 2, "lost")
					require.NoError(t, o.Renew(t.Context()))
					seen = append(seen, epoch(t, o))
					if inNewEra {
						publish(t, o, 3, "lost")
					}
				})
				publish(t, peer(t, o), 9, "a", "b", "c", "d", "e") // goes beyond what was lost
				after := epoch(t, o)
				assert.NotContains(t, seen, after)
				assert.Equal(t, after, epoch(t, peer(t, o)))
			})
		}
	})
}

// TestTablesAreGone restores the database to before the tables were made.
func TestTablesAreGone(t *testing.T) {
	each(t, func(t *testing.T, e engine) {
		o := open(t, e, sqlbroker.Config{})
		before := epoch(t, o)
		publish(t, o, 1, "lost")
		ended := make(chan error, 1)
		ready := make(chan struct{})
		go func() { ended <- o.Run(t.Context(), func() { close(ready) }, func([]broker.Message) {}) }()
		<-ready
		for _, name := range []string{"clock", "streams", "messages", "sources"} {
			require.NoError(t, o.db.Migrator().DropTable(o.table(name)))
		}
		require.Error(t, <-ended)
		_, err := o.Positions(t.Context(), []string{"g"})
		require.Error(t, err)
		assert.NotEqual(t, before, epoch(t, o))
	})
}

// TestLargestCommit publishes a batch of the bytes that may wait in a hub at most. An engine
// that refused it would refuse it again for ever, with all that waits behind it.
func TestLargestCommit(t *testing.T) {
	maria := engine{"MariaDB with interpolateParams", func(testing.TB) gorm.Dialector { return mysql.Open(maria() + "&interpolateParams=true") }, ""}
	for _, e := range append(engines(), maria) {
		t.Run(e.name, func(t *testing.T) {
			o := open(t, e, sqlbroker.Config{})
			epoch(t, o)
			payloads := make([]string, 30)
			for i := range payloads {
				payloads[i] = strings.Repeat("x", o.Limits().PayloadBytes)
			}
			publish(t, o, 1, payloads...)
			h, err := o.Read(t.Context(), "g", 0, len(payloads))
			require.NoError(t, err)
			assert.Len(t, h.Messages, len(payloads))
		})
	}
}

// epoch follows the group g, and returns its epoch.
func epoch(t testing.TB, b broker.Broker) string {
	at, err := b.Follow(t.Context(), []string{"g"})
	require.NoError(t, err)
	return at[0].Epoch
}
