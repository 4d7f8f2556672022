package rohrpost_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/wire"
	"github.com/rohrpost/rohrpost/rohrposttest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

// storing is an Outbox that keeps what has committed in a table.
type storing struct {
	db      *gorm.DB
	written int
	outside int // of a transaction
	fail    error
	panics  bool
}

type storedRow struct {
	ID   uint
	Text string
}

func (s *storing) Write(ctx context.Context, conn gorm.ConnPool, messages []broker.Message) error {
	if s.panics {
		panic("no outbox today")
	}
	if conn == nil {
		if s.fail != nil {
			return s.fail
		}
		s.outside++
		pool, _ := s.db.DB()
		conn = pool
	}
	for _, m := range messages {
		if _, err := conn.ExecContext(ctx, "INSERT INTO stored_rows (text) VALUES (?)", m.Stream+" "+describe(m.Payload)); err != nil {
			return err
		}
	}
	return s.fail
}

func (s *storing) Written() { s.written++ }

func (s *storing) Turn(context.Context) func() { return nil }

// take returns the rows, and removes them.
func (s *storing) take(t *testing.T) (texts []string) {
	var rows []storedRow
	require.NoError(t, s.db.Order("id").Find(&rows).Error)
	for _, row := range rows {
		texts = append(texts, row.Text)
	}
	require.NoError(t, s.db.Exec("DELETE FROM stored_rows").Error)
	return texts
}

// describe returns the type and the object of a change.
func describe(payload []byte) string {
	var m struct {
		Data struct {
			Type   string
			Object json.RawMessage
		}
	}
	if err := json.Unmarshal(payload, &m); err != nil {
		return err.Error()
	}
	return fmt.Sprint(m.Data.Type, " ", string(m.Data.Object))
}

// A write, whatever begins its transaction, is stored in it, also where no hub has a member.
func TestOutbox(t *testing.T) {
	eachMode(t, func(t *testing.T, db *gorm.DB, rec *recorder) {
		s := &storing{db: db}
		require.NoError(t, db.AutoMigrate(&storedRow{}, &fragile{}))
		require.NoError(t, rohrpost.UseOutbox(db, rec.hub, s))
		require.Error(t, rohrpost.UseOutbox(db, rec.hub, s))
		require.Error(t, rohrpost.UseOutbox(db, rohrpost.NewHub(rohrpost.Config{}), s))

		require.NoError(t, db.Create(&task{ID: 1}).Error)
		require.NoError(t, db.Model(&task{ID: 1}).Update("title", "x").Error)
		require.NoError(t, db.Where("id > 0").Delete(&task{}).Error)
		assert.Equal(t, []string{`task-1 create {"id":1}`, `task-1 update {"id":1,"updated_fields":["title"]}`, `task-1 delete {"id":1}`}, s.take(t))
		assert.Equal(t, 3, s.written)
		require.NoError(t, db.Where("id > 0").Delete(&task{}).Error)
		assert.Empty(t, s.take(t), "a write that meets no row")

		called := 0
		require.ErrorIs(t, db.Transaction(func(tx *gorm.DB) error {
			require.NoError(t, rohrpost.AfterCommit(tx, func() { called++ }))
			require.NoError(t, add(tx, 2))
			return errWanted
		}), errWanted)
		assert.Empty(t, s.take(t))
		require.NoError(t, db.Transaction(func(tx *gorm.DB) error {
			require.NoError(t, rohrpost.AfterCommit(tx, func() { called++ }))
			require.NoError(t, add(tx, 3))
			require.ErrorIs(t, tx.Transaction(func(tx *gorm.DB) error { _ = add(tx, 4); return errWanted }), errWanted)
			require.NoError(t, rohrpost.Notify(tx, rohrpost.Change{Group: "g", Type: rohrpost.Update, Object: 1}))
			return tx.Create(&fragile{Mode: "not encodable"}).Error
		}))
		assert.Equal(t, []string{`task-3 create {"id":3}`, "g update 1", `fragile resync {"reason":"unknown"}`}, s.take(t))
		assert.Equal(t, 1, called)
		assert.Len(t, rec.take(), 6, "the test kit records what is stored")
		assert.Zero(t, rec.hub.Stats().Published, "the hub gets it from a relay")

		assert.Zero(t, s.outside)
		require.NoError(t, rohrpost.Notify(db, rohrpost.Change{Group: "g", Type: rohrpost.Update, Object: 2}))
		assert.Equal(t, []string{"g update 2"}, s.take(t))
		assert.Equal(t, 1, s.outside)
	})
}

// An outbox that cannot be written refuses the commit: nothing has happened.
func TestOutboxRefuses(t *testing.T) {
	eachMode(t, func(t *testing.T, db *gorm.DB, rec *recorder) {
		s := &storing{db: db}
		require.NoError(t, db.AutoMigrate(&storedRow{}))
		require.NoError(t, rohrpost.UseOutbox(db, rec.hub, s))
		refused := func(err error) {
			t.Helper()
			require.ErrorContains(t, err, "rohrpost: the outbox could not be written: ")
			var count int64
			require.NoError(t, db.Model(&task{}).Count(&count).Error)
			assert.Zero(t, count)
			assert.Empty(t, s.take(t))
			assert.Empty(t, rec.take())
		}
		s.fail = errors.New("disk full")
		refused(db.Create(&task{ID: 1}).Error)
		refused(db.Transaction(func(tx *gorm.DB) error { return add(tx, 1, 2) }))
		tx := db.Begin()
		require.NoError(t, add(tx, 1))
		refused(tx.Commit().Error)
		require.Error(t, tx.Rollback().Error)
		require.ErrorContains(t, rohrpost.Notify(db, rohrpost.Change{Group: "g", Type: rohrpost.Update}), "the outbox could not be written")
		assert.Empty(t, rec.take())
		s.panics = true
		refused(db.Create(&task{ID: 1}).Error)
		require.NoError(t, db.Create(&storedRow{}).Error, "a write without changes needs no outbox")

		s.panics, s.fail = false, nil
		require.ErrorIs(t, db.Transaction(func(tx *gorm.DB) error { _ = add(tx, 5); return errWanted }), errWanted)
		require.NoError(t, db.Create(&task{ID: 1}).Error)
	})
}

// A message that clients cannot read does not stop an outbox: its groups get a resync, and what
// comes behind it goes on.
func TestUnreadableBatches(t *testing.T) {
	const large = 2 << 20
	for name, m := range map[string]struct {
		stream, payload string
		isLost          bool // for no group
	}{
		"payload of a group":            {stream: "g", payload: "x"},
		"object of a pattern":           {stream: "{any}", payload: "x"},
		"no object of a pattern":        {stream: "{any}"},
		"bytes in a pattern's object":   {stream: "{any}", payload: "\"\xff\""},
		"large object of a pattern":     {stream: "{any}", payload: `"` + strings.Repeat("x", large) + `"`},
		"pattern that does not end":     {stream: "{", payload: "{}", isLost: true},
		"group with a name of no group": {stream: "no group", payload: "{}", isLost: true},
	} {
		for _, b := range []broker.Broker{nil, rohrpost.NewMemoryBroker(rohrpost.HistoryLimits{})} {
			t.Run(fmt.Sprint(name, ", broker ", b != nil), func(t *testing.T) {
				hub := rohrpost.NewHub(rohrpost.Config{Broker: b, Logger: slog.New(slog.DiscardHandler)})
				hub.Allow("g", rohrpost.Anyone)
				t.Cleanup(func() { assert.NoError(t, hub.Shutdown(context.Background())) })
				page := rohrposttest.Dial(t, hub)
				page.Subscribe("g")
				publish := func(number uint64, stream string, payload []byte) {
					t.Helper()
					batch := broker.Batch{Source: "s", Number: number, Messages: []broker.Message{{Stream: stream, Payload: payload}}}
					require.NoError(t, hub.PublishBatches(t.Context(), []broker.Batch{batch}))
				}
				publish(1, m.stream, []byte(m.payload))
				if !m.isLost {
					assert.Contains(t, fmt.Sprintf("%s", page.Expect("g", rohrpost.Resync).Object), `"reason":"size"`)
				}
				publish(2, "g", wire.ResyncPayload("g", "next"))
				assert.Contains(t, fmt.Sprintf("%s", page.Expect("g", rohrpost.Resync).Object), `"reason":"next"`)
				assert.EqualValues(t, 1, hub.Stats().Skipped)
			})
		}
	}
}
