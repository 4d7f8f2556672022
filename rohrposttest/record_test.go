package rohrposttest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/internal/sqlitetest"
	"github.com/rohrpost/rohrpost/rohrposttest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

type article struct {
	rohrpost.NotifyOnChange
	ID     uint
	Title  string
	Status string
}

// open opens a database of its own. A handle with the plugin has a hub that
// anybody may subscribe at.
func open(t testing.TB, config ...rohrpost.PluginConfig) (*gorm.DB, *rohrpost.Hub) {
	t.Helper()
	db := sqlitetest.Open(t, gorm.Config{})
	require.NoError(t, db.AutoMigrate(&article{}))
	hub := rohrpost.NewHub(rohrpost.Config{})
	hub.Allow("{any}", rohrpost.Anyone)
	t.Cleanup(func() { assert.NoError(t, hub.Shutdown(context.Background())) })
	require.NoError(t, db.Use(rohrpost.Plugin(hub, config...)))
	return db, hub
}

func lines(changes []rohrpost.Change) []string {
	lines := []string{}
	for _, c := range changes {
		lines = append(lines, fmt.Sprintf("%s %s %s %v", c.Type, c.Group, c.Object, c.UpdatedFields))
	}
	return lines
}

func TestRecordHandle(t *testing.T) {
	db, _ := open(t)
	rec := rohrposttest.Record(t, db)
	rec.AssertNothing(t)
	a := article{Title: "One"}
	require.NoError(t, db.Create(&a).Error)
	require.NoError(t, db.Model(&a).Update("title", "Two").Error)
	rec.AssertSent(t, "article-1", rohrpost.Create)
	rec.AssertSent(
		t, "article-1", rohrpost.Update, rohrposttest.UpdatedFields("title"), rohrposttest.Object(map[string]int{"id": 1}),
		rohrposttest.Has("id", 1), rohrposttest.Times(1), rohrposttest.Where("a title", func(c rohrpost.Change) bool { return c.UpdatedFields[0] == "title" }),
	)
	rec.AssertNothing(t, "article-2", "article-3")
	assert.Equal(t, []string{`create article-1 {"id":1} []`, `update article-1 {"id":1} [title]`}, lines(rec.Sent()))
	assert.Equal(t, rec.Sent(), rec.Published())

	rec.Reset()
	rec.AssertNothing(t)
	failed := errors.New("failed")
	require.ErrorIs(t, db.Transaction(func(tx *gorm.DB) error {
		require.NoError(t, tx.Delete(&a).Error)
		rec.AssertNothing(t)
		return failed
	}), failed)
	rec.AssertNothing(t)
	require.NoError(t, db.Delete(&a).Error)
	rec.AssertSent(t, "article-1", rohrpost.Delete)
}

// A test that rolls its own transaction back still sees what the code under test
// announces in it.
func TestRecordTransaction(t *testing.T) {
	db, _ := open(t)
	whole := rohrposttest.Record(t, db)
	tx := db.Begin()
	require.NoError(t, tx.Error)
	require.NoError(t, tx.Create(&article{Title: "Before"}).Error)
	rec := rohrposttest.Record(t, tx)
	rec.AssertSent(t, "article-1", rohrpost.Create) // it is in the transaction
	rec.Reset()
	rec.AssertNothing(t)

	require.Error(t, tx.Transaction(func(tx *gorm.DB) error {
		require.NoError(t, tx.Create(&article{Title: "Undone"}).Error)
		rec.AssertSent(t, "article-2", rohrpost.Create)
		return errors.New("undone")
	}))
	rec.AssertNothing(t)
	require.NoError(t, tx.Transaction(func(tx *gorm.DB) error { return tx.Create(&article{Title: "Done"}).Error }))
	require.NoError(t, rohrpost.Notify(tx, rohrpost.Change{Group: "other", Type: rohrpost.Update}))
	require.NoError(t, rohrpost.AfterCommit(tx, func() { t.Error("it does not commit") }))
	want := []string{`create article-2 {"id":2} []`, `update other null []`}
	assert.Equal(t, want, lines(rec.Sent()))
	assert.Empty(t, rec.Published())
	require.NoError(t, tx.Rollback().Error)
	assert.Equal(t, want, lines(rec.Sent()), "it still is what would have been sent")
	assert.Empty(t, rec.Published())
	whole.AssertNothing(t)

	tx = db.Begin()
	rec = rohrposttest.Record(t, tx)
	require.NoError(t, tx.Create(&article{Title: "Kept"}).Error)
	require.NoError(t, tx.Commit().Error)
	assert.Len(t, rec.Sent(), 1)
	assert.Equal(t, rec.Sent(), rec.Published())
	assert.Equal(t, rec.Sent(), whole.Sent())
}

// A savepoint may go back behind a Reset: what follows counts.
func TestResetBehindSavepoint(t *testing.T) {
	db, _ := open(t)
	tx := db.Begin()
	defer tx.Rollback()
	rec := rohrposttest.Record(t, tx)
	tx.SavePoint("start")
	require.NoError(t, tx.Create(&[]article{{Title: "One"}, {Title: "Two"}}).Error)
	rec.Reset()
	tx.RollbackTo("start")
	require.NoError(t, tx.Create(&article{Title: "Three"}).Error)
	assert.Equal(t, []string{`create article-1 {"id":1} []`}, lines(rec.Sent()))
}

// A recording holds the changes that a commit would send: folded, and within its limits.
func TestRecordOutcome(t *testing.T) {
	db, _ := open(t, rohrpost.PluginConfig{NetEffect: true})
	tx := db.Begin()
	defer tx.Rollback()
	rec := rohrposttest.Record(t, tx)
	a := article{Title: "One"}
	require.NoError(t, tx.Create(&a).Error)
	require.NoError(t, tx.Model(&a).Update("title", "Two").Error)
	for range 2 { // looking changes nothing
		assert.Equal(t, []string{`create article-1 {"id":1} []`}, lines(rec.Sent()))
	}
	require.NoError(t, tx.Delete(&a).Error)
	rec.AssertNothing(t)

	rec.Reset()
	for range 101 {
		require.NoError(t, rohrpost.Notify(tx, rohrpost.Change{Group: "g", Type: rohrpost.Update}))
	}
	assert.Equal(t, []string{`resync g {"reason":"rows"} []`}, lines(rec.Sent()))
	for range 10_000 {
		require.NoError(t, rohrpost.Notify(tx, rohrpost.Change{Group: "g", Type: rohrpost.Update}))
	}
	assert.Equal(t, []string{`resync article-{pk} {"reason":"rows"} []`, `resync {any} {"reason":"rows"} []`}, lines(rec.Sent()),
		"too many to know which ones were there before the reset")
}

// Parallel tests share one handle: by transactions, or by contexts.
func TestRecordParallel(t *testing.T) {
	db, _ := open(t)
	whole := rohrposttest.Record(t, db)
	t.Run("group", func(t *testing.T) {
		for i := range 8 {
			t.Run(fmt.Sprint("transaction ", i), func(t *testing.T) {
				t.Parallel()
				tx := db.Begin()
				rec := rohrposttest.Record(t, tx)
				a := article{Title: t.Name()}
				require.NoError(t, tx.Create(&a).Error)
				rec.AssertSent(t, fmt.Sprint("article-", a.ID), rohrpost.Create)
				assert.Len(t, rec.Sent(), 1)
				require.NoError(t, tx.Rollback().Error)
			})
			t.Run(fmt.Sprint("context ", i), func(t *testing.T) {
				t.Parallel()
				db := db.WithContext(rohrposttest.Context(t))
				rec := rohrposttest.Record(t, db)
				a := article{Title: t.Name()}
				require.NoError(t, db.Transaction(func(tx *gorm.DB) error { return tx.Create(&a).Error }))
				rec.AssertSent(t, fmt.Sprint("article-", a.ID), rohrpost.Create)
				assert.Len(t, rec.Sent(), 1)
			})
		}
	})
	whole.AssertNothing(t)
}

func TestRecordWithoutHub(t *testing.T) {
	db := sqlitetest.Open(t, gorm.Config{})
	require.NoError(t, db.AutoMigrate(&article{}))

	tx := db.Begin()
	output := failing(t, func(t testing.TB) { rohrposttest.Record(t, tx) })
	assert.Contains(t, output, "the transaction has begun without the plugin")
	require.NoError(t, tx.Rollback().Error)

	rec := rohrposttest.Record(t, db)
	require.NoError(t, db.Create(&article{}).Error)
	rec.AssertSent(t, "article-1", rohrpost.Create)
}

func TestRecordOutOfSight(t *testing.T) {
	db, _ := open(t)
	pool, err := db.DB()
	require.NoError(t, err)
	sqlTx, err := pool.Begin()
	require.NoError(t, err)
	defer func() { _ = sqlTx.Rollback() }()
	foreign, err := gorm.Open(sqlite.Dialector{Conn: sqlTx}, &gorm.Config{})
	require.NoError(t, err)
	require.NoError(t, foreign.Use(rohrpost.Plugin(rohrpost.NewHub(rohrpost.Config{}))))
	assert.Contains(t, failing(t, func(t testing.TB) { rohrposttest.Record(t, foreign) }), rohrpost.ErrUntracked.Error())
}

// The recording ends with the test.
func TestRecordEnds(t *testing.T) {
	db, _ := open(t)
	var ended *rohrposttest.Recorder
	t.Run("a test", func(t *testing.T) { ended = rohrposttest.Record(t, db) })
	require.NoError(t, db.Create(&article{}).Error)
	ended.AssertNothing(t)
}

// View and Origin tell changes apart that are alike otherwise.
func TestMatchViewAndOrigin(t *testing.T) {
	db, _ := open(t)
	rec := rohrposttest.Record(t, db)
	ctx := rohrpost.WithOrigin(t.Context(), "k3j2")
	require.NoError(t, rohrpost.Notify(db.WithContext(ctx), rohrpost.Change{Group: "g", Type: "hint", View: "staff"}))
	rec.AssertSent(t, "g", "hint", rohrposttest.View("staff"), rohrposttest.Origin("k3j2"))
	report := failing(t, func(t testing.TB) {
		rec.AssertSent(t, "g", "hint", rohrposttest.View("guest"), rohrposttest.Origin(""))
	})
	assert.Contains(t, report, `view is "guest"`)
	assert.Contains(t, report, `- view is "staff"`)
	assert.Contains(t, report, `- origin is "k3j2"`)
}
