package outbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/rohrpost/rohrpost"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

// relayOf returns a relay that a test moves by hand.
func relayOf(n *node) *relay { return &relay{Outbox: n.box} }

// rounds lets a relay work until nothing is left to do.
func (r *relay) rounds(t *testing.T) {
	t.Helper()
	for more := true; more || !r.isTidy(); {
		var err error
		more, err = r.round(t.Context())
		require.NoError(t, err)
	}
}

// notify stores a change of its own, object, for the group g.
func (n *node) notify(object any) {
	n.t.Helper()
	require.NoError(n.t, rohrpost.Notify(n.db, rohrpost.Change{Group: "g", Type: rohrpost.Update, Object: object}))
}

// A transaction that commits after another one with a higher id is not overlooked.
func TestLateCommit(t *testing.T) {
	for _, e := range engines[1:] { // SQLite has one writer at a time
		t.Run(e.name, func(t *testing.T) {
			s := &sink{}
			n := nodeOn(t, e, e.create(t), s, gorm.Config{}, Config{})
			r := relayOf(n)
			late := insertAndWait(t, n, "late")
			n.notify("first")
			r.rounds(t)
			assert.Equal(t, []string{`g update "first"`}, s.take())
			require.NoError(t, late.Commit())
			r.rounds(t)
			assert.Equal(t, []string{`g update "late"`}, s.take())
		})
	}
}

// insertAndWait returns a transaction between its INSERT into the outbox and its COMMIT.
func insertAndWait(t *testing.T, n *node, object string) *sql.Tx {
	t.Helper()
	pool, err := n.db.DB()
	require.NoError(t, err)
	tx, err := pool.Begin()
	require.NoError(t, err)
	payload := fmt.Sprintf(`{"id":1,"type":"subscription-update","data":{"type":"update","group":"g","object":%q}}`, object)
	query, args := n.box.table.insert(fmt.Appendf(nil, "11:g%d:%s", len(payload), payload), time.Now())
	_, err = tx.Exec(query, args...)
	require.NoError(t, err)
	return tx
}

// Rows below the floor are looked for once a minute, and become resyncs: a later change of
// the same row may have been published.
func TestFloor(t *testing.T) {
	for _, e := range engines[1:] {
		t.Run(e.name, func(t *testing.T) {
			s := &sink{}
			n := nodeOn(t, e, e.create(t), s, gorm.Config{}, Config{})
			r := relayOf(n)
			late := insertAndWait(t, n, "late")
			n.notify(1)
			r.rounds(t)
			require.NotEmpty(t, r.floors.samples)
			assert.Zero(t, n.floor())
			r.floors.samples[0].at = time.Now().Add(-settled)
			r.rounds(t)
			assert.EqualValues(t, 2, n.floor(), "the id of the row that was seen a minute ago")
			n.notify(2)
			require.NoError(t, late.Commit())
			r.rounds(t)
			assert.Equal(t, []string{"g update 1", "g update 2"}, s.take())
			other := relayOf(n) // looks at once
			other.rounds(t)
			assert.Equal(t, []string{`g resync {"reason":"order"}`}, s.take())
			assert.Contains(t, n.logs.String(), "more than a minute to commit")
			n.notify(3)
			r.rounds(t)
			other.rounds(t)
			assert.Equal(t, []string{"g update 3"}, s.take())
		})
	}
}

// The floor never passes rows that wait for a number.
func TestFloorBehindBacklog(t *testing.T) {
	onEach(t, func(t *testing.T, e engine) {
		s := &sink{}
		n := nodeOn(t, e, e.create(t), s, gorm.Config{}, Config{})
		r := relayOf(n)
		n.notify(0)
		r.rounds(t)
		rows := make([]outboxRow, 2*roundRows+7)
		for i := range rows {
			rows[i].Batch = encode(nil)
		}
		require.NoError(t, n.db.CreateInBatches(rows, 500).Error)
		for round := range 5 {
			for i := range r.floors.samples {
				r.floors.samples[i].at = time.Now().Add(-settled)
			}
			r.floors.samples = append(r.floors.samples, sample{time.Now().Add(-settled), 1 << 40})
			_, err := r.round(t.Context())
			require.NoError(t, err)
			var below int64
			require.NoError(t, n.db.Model(&outboxRow{}).Where("number IS NULL AND id <= ?", n.floor()).Count(&below).Error)
			assert.Zero(t, below, "round %d", round)
		}
		r.rounds(t)
		assert.Zero(t, n.rows())
	})
}

func (n *node) floor() int64 {
	var row relayRow
	require.NoError(n.t, n.db.First(&row).Error)
	return row.Floor
}

// After the table was emptied, or its ids begin anew, nothing is overlooked.
func TestIDsBeginAnew(t *testing.T) {
	onEach(t, func(t *testing.T, e engine) {
		s := &sink{}
		n := nodeOn(t, e, e.create(t), s, gorm.Config{}, Config{})
		r := relayOf(n)
		for i := range 5 {
			n.notify(i)
		}
		r.rounds(t)
		r.floors.samples[0].at = time.Now().Add(-settled)
		r.rounds(t)
		require.EqualValues(t, 5, n.floor())
		s.take()
		for _, statement := range map[string][]string{
			"SQLite":     {"DELETE FROM rohrpost_outbox", "DELETE FROM sqlite_sequence WHERE name = 'rohrpost_outbox'"},
			"PostgreSQL": {"TRUNCATE rohrpost_outbox RESTART IDENTITY"},
			"MariaDB":    {"TRUNCATE rohrpost_outbox"},
		}[e.name] {
			require.NoError(t, n.db.Exec(statement).Error)
		}
		n.notify("after")
		relayOf(n).rounds(t)
		assert.Contains(t, fmt.Sprint(s.take()), `{any} {"reason":"unknown"}`)
		n.notify("later")
		relayOf(n).rounds(t)
		assert.Equal(t, []string{`g update "later"`}, s.take())
	})
}

// A database that was restored to an earlier state would give numbers again that the broker
// has taken. The next relay, and one that has seen higher numbers, finds that out.
func TestRestoredDatabase(t *testing.T) {
	onEach(t, func(t *testing.T, e engine) {
		for name, stays := range map[string]bool{"new relay": false, "running relay": true} {
			t.Run(name, func(t *testing.T) {
				s := &sink{}
				n := nodeOn(t, e, e.create(t), s, gorm.Config{}, Config{})
				r := relayOf(n)
				n.notify(1)
				r.rounds(t)
				var backup []outboxRow
				require.NoError(t, n.db.Find(&backup).Error)
				for i := range 5 {
					n.notify(i)
				}
				r.rounds(t)
				s.take()

				require.NoError(t, n.db.Where("1 = 1").Delete(&outboxRow{}).Error)
				require.NoError(t, n.db.Create(&backup).Error)
				n.notify("after")
				if !stays {
					r = relayOf(n)
				}
				old := r.source
				r.rounds(t)
				assert.Equal(t, []string{`g update "after"`, `{any} {"reason":"unknown"}`}, s.take())
				assert.NotEqual(t, old, r.source)
				assert.Contains(t, n.logs.String(), "went back")
				n.notify("later")
				r.rounds(t)
				assert.True(t, n.isTidy())
				other := relayOf(n)
				other.rounds(t)
				assert.Equal(t, r.source, other.source)
				assert.Equal(t, []string{`g update "later"`}, s.take())
			})
		}
	})
}

// A call whose outcome is unknown takes effect after the relay has asked what has been taken,
// and the database was restored meanwhile. What was seen before the failure still counts.
func TestRestoredAfterAFailure(t *testing.T) {
	onEach(t, func(t *testing.T, e engine) {
		s := &sink{}
		n := nodeOn(t, e, e.create(t), s, gorm.Config{}, Config{})
		r := relayOf(n)
		n.notify("kept")
		r.rounds(t)
		var backup []outboxRow
		require.NoError(t, n.db.Find(&backup).Error)
		n.notify("undone")
		n.notify("undone")
		s.set(func(s *sink) { s.away = true })
		_, err := r.round(t.Context())
		require.ErrorIs(t, err, errAway)
		source := r.source
		r.failed(t.Context(), err)
		s.take()
		require.NoError(t, n.db.Where("1 = 1").Delete(&outboxRow{}).Error)
		require.NoError(t, n.db.Create(&backup).Error)
		n.notify("after")
		s.set(func(s *sink) { s.away, s.asked = false, func() { s.taken[source] = max(s.taken[source], 3) } })
		r.rounds(t)
		assert.Equal(t, []string{`g update "after"`, `{any} {"reason":"unknown"}`}, s.take())
		assert.NotEqual(t, source, r.source)
	})
}

// While a session holds a snapshot the database keeps deleted rows. The relay reads only
// rows behind a position that it knows.
func TestHeldSnapshot(t *testing.T) {
	e := engines[1]
	s := &sink{}
	n := nodeOn(t, e, e.create(t), s, gorm.Config{}, Config{})
	pool, err := n.db.DB()
	require.NoError(t, err)
	holder, err := pool.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	require.NoError(t, err)
	_, err = holder.Exec("SELECT count(*) FROM rohrpost_outbox")
	require.NoError(t, err)
	defer func() { _ = holder.Rollback() }()

	r := relayOf(n)
	settle := func() {
		r.rounds(t)
		for i := range r.floors.samples {
			r.floors.samples[i].at = time.Now().Add(-settled)
		}
		r.rounds(t)
	}
	for range 5 {
		rows := make([]outboxRow, roundRows)
		for i := range rows {
			rows[i].Batch = encode(nil)
		}
		require.NoError(t, n.db.CreateInBatches(rows, 500).Error)
		settle()
	}
	settle()
	n.notify("last")
	_, err = pool.Exec("ANALYZE rohrpost_outbox")
	require.NoError(t, err)
	where := map[string]string{
		"without a number": fmt.Sprintf("number IS NULL AND id > %d ORDER BY id", n.floor()),
		"with a number":    fmt.Sprintf("number > %d ORDER BY number", r.taken),
		"the control":      "number IS NULL AND id > 0 ORDER BY id",
	}
	pages := map[string]int{}
	for name, condition := range where {
		pages[name] = readPages(t, n, condition)
	}
	t.Log(pages)
	assert.Less(t, pages["without a number"], 10)
	assert.Less(t, pages["with a number"], 10)
	assert.Greater(t, pages["the control"], 50)
	r.rounds(t)
	assert.Equal(t, []string{`g update "last"`}, s.take())
}

// readPages returns how many pages of the table and its indexes a query of a relay reads.
func readPages(t *testing.T, n *node, condition string) (pages int) {
	pool, err := n.db.DB()
	require.NoError(t, err)
	conn, err := pool.Conn(t.Context())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	var plan string
	require.NoError(t, n.box.table.locked(t.Context(), conn, func(tx *sql.Tx, _ state) error {
		query := "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT id FROM rohrpost_outbox WHERE " + condition + " LIMIT 1000"
		return tx.QueryRow(query).Scan(&plan)
	}))
	var explained []struct {
		Plan struct {
			Hit  int `json:"Shared Hit Blocks"`
			Read int `json:"Shared Read Blocks"`
		}
	}
	require.NoError(t, json.Unmarshal([]byte(plan), &explained))
	return explained[0].Plan.Hit + explained[0].Plan.Read
}

// Tables of the program may change while rows wait: what they say is encoded already.
func TestSchemaChanges(t *testing.T) {
	onEach(t, func(t *testing.T, e engine) {
		s := &sink{}
		n := nodeOn(t, e, e.create(t), s, gorm.Config{}, Config{})
		require.NoError(t, n.db.Create(&item{ID: 1, Version: 3}).Error)
		require.NoError(t, n.db.Exec("ALTER TABLE items ADD COLUMN extra integer").Error)
		require.NoError(t, n.db.Create(&item{ID: 2}).Error)
		require.NoError(t, n.db.Migrator().DropTable(&item{}))
		relayOf(n).rounds(t)
		assert.Equal(t, []string{"item-1 create 3", "item-2 create 0"}, s.take())
	})
}

// Many processes may make the tables at the same time.
func TestMigrateTogether(t *testing.T) {
	onEach(t, func(t *testing.T, e engine) {
		dsn := e.create(t)
		errs := make(chan error)
		for range 8 {
			db, err := open(e.name, dsn, gorm.Config{})
			require.NoError(t, err)
			pool, err := db.DB()
			require.NoError(t, err)
			defer func() { _ = pool.Close() }()
			go func() { errs <- Migrate(db.WithContext(context.Background())) }()
		}
		for range 8 {
			assert.NoError(t, <-errs)
		}
		n := nodeOn(t, e, dsn, &sink{}, gorm.Config{}, Config{})
		var rows int64
		require.NoError(t, n.db.Model(&relayRow{}).Count(&rows).Error)
		assert.EqualValues(t, 1, rows)
	})
}
