package rohrpost

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/rohrpost/rohrpost/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// step is a task that only a few changes are told of one by one.
type step struct {
	NotifyOnChange `rohrpost:"group:board-{board_id};rows:3"`
	ID             uint
	BoardID        uint
	Title          string `json:"name"`
	Secret         string `json:"-"`
}

func steps(board uint, count int) []step {
	rows := make([]step, count)
	for i := range rows {
		rows[i].BoardID = board
	}
	return rows
}

// Above rows:N changes of one commit a group gets one resync instead, others are
// not concerned.
func TestRowsOfOneCommit(t *testing.T) {
	eachMode(t, func(t *testing.T, db *gorm.DB, rec *recorder) {
		require.NoError(t, db.AutoMigrate(&step{}))
		few, many := steps(1, 3), steps(2, 4)
		require.NoError(t, db.Create(&few).Error)
		assert.Equal(t, []string{`create board-1 {"id":1}`, `create board-1 {"id":2}`, `create board-1 {"id":3}`}, rec.take())
		require.NoError(t, db.Create(&many).Error)
		assert.Equal(t, []string{`resync board-2 {"reason":"rows"}`}, rec.take(), "one statement")
		called := 0
		require.NoError(t, db.Transaction(func(tx *gorm.DB) error {
			for _, id := range []uint{1, 4, 2, 5, 6, 7} {
				require.NoError(t, tx.Model(&step{ID: id}).Update("title", "x").Error)
			}
			require.NoError(t, AfterCommit(tx, func() { called = len(rec.changes) }))
			return tx.Model(&step{ID: 3}).Update("title", "x").Error
		}))
		assert.Equal(t, []string{
			`update board-1 {"id":1} title`, `resync board-2 {"reason":"rows"}`, `update board-1 {"id":2} title`, `update board-1 {"id":3} title`,
		}, rec.take(), "one transaction")
		assert.Equal(t, 3, called)
	})
}

// Above 10,000 changes a transaction keeps nothing but whom they may concern:
// what it holds does not grow.
func TestHugeTransactions(t *testing.T) {
	db, rec := openDB(t, gorm.Config{}, &step{})
	require.NoError(t, db.Transaction(func(tx *gorm.DB) error {
		held := tx.Statement.ConnPool.(*transaction)
		tx.SavePoint("start")
		require.NoError(t, AfterCommit(tx, func() { t.Error("rolled back") }))
		require.NoError(t, tx.Create(&task{ID: 1}).Error)
		tx.RollbackTo("start")
		require.NoError(t, AfterCommit(tx, func() {}))
		for range 11 {
			require.NoError(t, tx.CreateInBatches(steps(1, 1000), 500).Error)
		}
		require.NoError(t, tx.Create(&task{ID: 2}).Error)
		require.NoError(t, tx.Model(&step{}).Where("1 = 1").Update("title", "x").Error)
		assert.Len(t, held.waiting, 1, "the function")
		assert.Equal(t, []string{"board-{1}", "task-{pk}"}, held.flooded)
		return tx.Where("id > 5").Delete(&step{}).Error
	}))
	assert.Equal(t, []string{`resync board-{1} {"reason":"rows"}`, `resync task-{pk} {"reason":"rows"}`}, rec.take())

	require.NoError(t, db.Create(steps(2, 5000)).Error)
	require.NoError(t, db.Create(steps(2, 5000)).Error)
	rec.take()
	require.NoError(t, db.Model(&step{}).Where("1 = 1").Update("title", "y").Error)
	assert.Equal(t, []string{`resync board-{1} {"reason":"rows"}`}, rec.take(), "one statement")
	require.NoError(t, db.Model(&step{}).Where("1 = 1").Update("board_id", 9).Error)
	assert.Equal(t, []string{`resync board-{1} {"reason":"rows"}`}, rec.take(), "one statement that moves rows")
	assert.Empty(t, rec.logs.String())
}

func TestNetEffect(t *testing.T) {
	type quiet struct {
		NotifyOnUpdate `rohrpost:"group:quiet"`
		ID             uint
		Title          string
	}
	for _, test := range []struct {
		name string
		run  func(tx *gorm.DB) error
		want []string
	}{
		{"create and update", func(tx *gorm.DB) error {
			return all(tx.Create(&ticket{ID: 9, BoardID: 5, Title: "a"}), tx.Model(&ticket{ID: 9}).Update("title", "b"))
		}, []string{`create board-5 {"board":5,"id":9,"title":"b"}`}},
		{"two updates", func(tx *gorm.DB) error {
			return all(tx.Model(&task{ID: 1}).Update("title", "b"), tx.Model(&task{ID: 2}).Update("title", "b"), tx.Model(&task{ID: 1}).Update("done", true))
		}, []string{`update task-1 {"id":1} title,done`, `update task-2 {"id":2} title`}},
		{"an update and a save", func(tx *gorm.DB) error {
			return all(tx.Model(&task{ID: 1}).Update("title", "b"), tx.Save(&task{ID: 1}))
		}, []string{`update task-1 {"id":1}`}},
		{"update and delete", func(tx *gorm.DB) error {
			return all(tx.Model(&ticket{ID: 1}).Update("title", "b"), tx.Delete(&ticket{ID: 1}))
		}, []string{`delete board-1 {"board":1,"id":1,"title":"b"}`}},
		{"create and delete", func(tx *gorm.DB) error { return all(tx.Create(&task{ID: 9}), tx.Delete(&task{ID: 9})) }, []string{}},
		{"delete and create", func(tx *gorm.DB) error { return all(tx.Delete(&task{ID: 1}), tx.Create(&task{ID: 1})) }, []string{`update task-1 {"id":1}`}},
		{"there and back", func(tx *gorm.DB) error {
			return all(tx.Model(&ticket{ID: 1}).Update("board_id", 5), tx.Model(&ticket{ID: 1}).Update("board_id", 1))
		}, []string{`update board-1 {"board":1,"id":1,"title":"a"}`}},
		{"a savepoint takes a step back", func(tx *gorm.DB) error {
			_ = tx.Create(&ticket{ID: 9, BoardID: 5, Title: "a"})
			_ = tx.Transaction(func(tx *gorm.DB) error {
				return all(tx.Model(&ticket{ID: 9}).Update("title", "b"), tx.Delete(&ticket{ID: 9}), tx.AddError(errWanted))
			})
			return all(tx.Session(&gorm.Session{NewDB: true}).Model(&ticket{ID: 9}).Update("title", "c"))
		}, []string{`create board-5 {"board":5,"id":9,"title":"c"}`}},
		{"what is not announced counts", func(tx *gorm.DB) error {
			return all(tx.Create(&quiet{ID: 9}), tx.Model(&quiet{ID: 9}).Update("title", "b"), tx.Model(&quiet{ID: 1}).Update("title", "b"),
				tx.Model(&quiet{ID: 2}).Update("title", "b"), tx.Delete(&quiet{ID: 2}))
		}, []string{`update quiet {"id":1} title`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			db, rec := openConfigured(t, PluginConfig{NetEffect: true}, &quiet{})
			require.NoError(t, db.Create(&[]task{{Title: "a"}, {Title: "b"}}).Error)
			require.NoError(t, db.Create(&[]ticket{{BoardID: 1, Title: "a"}}).Error)
			require.NoError(t, db.Create(&[]quiet{{}, {}}).Error)
			rec.take()
			require.NoError(t, db.Transaction(test.run))
			assert.Equal(t, test.want, rec.take())
			assert.Empty(t, rec.logs.String())
		})
	}
}

// all returns the first error.
func all(results ...any) error {
	for _, result := range results {
		if db, ok := result.(*gorm.DB); ok && db.Error != nil {
			return db.Error
		} else if err, ok := result.(error); ok {
			return err
		}
	}
	return nil
}

func openConfigured(t *testing.T, config PluginConfig, models ...any) (*gorm.DB, *recorder) {
	db, rec := openDB(t, gorm.Config{}, models...)
	db.Plugins[pluginName].(*plugin).config = config
	return db, rec
}

func TestJSONNames(t *testing.T) {
	db, rec := openConfigured(t, PluginConfig{JSONNames: true}, &step{})
	require.NoError(t, db.Create(&step{BoardID: 1}).Error)
	require.NoError(t, db.Model(&step{ID: 1}).Updates(step{Title: "x", Secret: "y"}).Error)
	require.NoError(t, db.Model(&step{ID: 1}).Update("secret", "z").Error)
	require.NoError(t, db.Model(&step{ID: 1}).Update("board_id", 1).Error)
	assert.Equal(t, []string{`create board-1 {"id":1}`, `update board-1 {"id":1} name`, `update board-1 {"id":1}`, `update board-1 {"id":1} BoardID`}, rec.take())
}

type parent struct {
	NotifyOnChange
	ID    uint
	Tasks []child
}

type child struct {
	NotifyOnChange
	ID       uint
	ParentID uint
}

// AfterCreate writes from a hook and from another goroutine.
func (p *parent) AfterCreate(tx *gorm.DB) error {
	var done sync.WaitGroup
	var err error
	done.Go(func() { err = tx.Create(&child{ID: p.ID + 100, ParentID: p.ID}).Error })
	done.Wait()
	return err
}

func TestSilent(t *testing.T) {
	for name, test := range map[string]struct {
		ctx  context.Context
		want []string
	}{
		"nothing is silent":           {context.Background(), []string{`create parent-1 {"id":1}`, `create child-1 {"id":1}`, `create child-101 {"id":101}`}},
		"all is silent":               {Silent(context.Background()), []string{}},
		"one type is silent":          {SilentFor[child](context.Background()), []string{`create parent-1 {"id":1}`}},
		"one type is silent, pointer": {SilentFor[*parent](context.Background()), []string{`create child-1 {"id":1}`, `create child-101 {"id":101}`}},
		"another type is silent":      {SilentFor[task](context.Background()), []string{`create parent-1 {"id":1}`, `create child-1 {"id":1}`, `create child-101 {"id":101}`}},
	} {
		t.Run(name, func(t *testing.T) {
			db, rec := openDB(t, gorm.Config{}, &parent{}, &child{})
			require.NoError(t, db.WithContext(test.ctx).Transaction(func(tx *gorm.DB) error {
				return tx.Create(&parent{ID: 1, Tasks: []child{{ID: 1}}}).Error
			}))
			assert.Equal(t, test.want, rec.take())
		})
	}
}

// A soft delete field may have a value of its own for "not deleted".
func TestZeroValueOfSoftDelete(t *testing.T) {
	type kept struct {
		NotifyOnChange
		ID        uint
		DeletedAt gorm.DeletedAt `gorm:"zeroValue:1970-01-01 00:00:01;default:'1970-01-01 00:00:01'"`
	}
	db, rec := openDB(t, gorm.Config{}, &kept{})
	require.NoError(t, db.Create(&kept{ID: 1}).Error)
	require.NoError(t, db.Delete(&kept{ID: 1}).Error)
	require.NoError(t, db.Unscoped().Model(&kept{ID: 1}).Update("deleted_at", "1970-01-01 00:00:01").Error)
	require.NoError(t, db.Unscoped().Delete(&kept{ID: 1}).Error)
	assert.Equal(t, []string{`create kept-1 {"id":1}`, `delete kept-1 {"id":1}`, `create kept-1 {"id":1}`, `delete kept-1 {"id":1}`}, rec.take())
}

// What cannot be told is said so to all whom it may concern, and to no others.
func TestUnknownRows(t *testing.T) {
	db, rec := openDB(t, gorm.Config{}, &step{})
	engine := db.Dialector
	db.Config.Dialector = unknownDialect{engine}
	require.NoError(t, db.Create(&[]step{{ID: 1, BoardID: 1}, {ID: 2, BoardID: 1}}).Error)
	require.NoError(t, db.Model(&task{ID: 1}).Update("done", true).Error, "a missing row")
	require.NoError(t, db.Model(&step{}).Where("id > 0").Update("title", "x").Error)
	require.NoError(t, db.Where("id > 1").Delete(&step{}).Error)
	require.NoError(t, db.Clauses(clause.OnConflict{DoNothing: true}).Create(&step{ID: 7, BoardID: 1}).Error)
	resync := `resync board-{1} {"reason":"unknown"}`
	assert.Equal(t, []string{`create board-1 {"id":1}`, `create board-1 {"id":2}`, resync, resync, resync}, rec.take())
}

// unknownDialect is a database that the plugin does not know.
type unknownDialect struct{ gorm.Dialector }

func (unknownDialect) Name() string { return "unknown" }

func TestCompareKeys(t *testing.T) {
	number := func(n int) rowKey { text := fmt.Sprint(n); return rowKey{text: text, json: text} }
	text := func(s string) rowKey { return rowKey{text: s, json: `"` + s + `"`} }
	pair := func(s string, n int) rowKey { return rowKey{parts: &[]rowKey{text(s), number(n)}, json: "[]"} }
	ordered := [][]rowKey{
		{number(-20), number(-3), number(-1), number(0), number(2), number(10), number(1000)},
		{text("10"), text("2"), text("B"), text("a"), text("ab")},
		{pair("a", -2), pair("a", 1), pair("a", 10), pair("b", 0)},
	}
	for _, keys := range ordered {
		for i := range keys {
			for j := range keys {
				assert.Equal(t, sign(i-j), sign(keys[i].compare(keys[j])), "%v and %v", keys[i], keys[j])
			}
		}
	}
}

func sign(n int) int { return min(max(n, -1), 1) }

func TestPatternsOfModels(t *testing.T) {
	type two struct {
		NotifyOnCreate `rohrpost:"group:new"`
		NotifyOnUpdate `rohrpost:"group:{a}{pk}.{a}-x"`
		ID             uint
		A              string
	}
	db, _ := openDB(t, gorm.Config{}, &two{})
	p := db.Plugins[pluginName].(*plugin)
	for want, value := range map[string]any{
		"task-{pk}": &task{}, wire.AnyGroup: &ticket{}, "board-{1}": &step{}, "new {0}.{3}-x": &two{},
	} {
		statement := &gorm.Statement{DB: db}
		require.NoError(t, statement.Parse(value))
		patterns := p.learn(statement.Schema).patterns()
		assert.Equal(t, want, strings.Join(patterns, " "))
		for _, pattern := range patterns {
			assert.NoError(t, (&wire.Change{Group: pattern, Type: Resync}).Check())
		}
	}
}
