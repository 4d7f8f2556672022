package rohrpost_test

import (
	"encoding/json"
	"testing"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/internal/sqlitetest"
	"github.com/rohrpost/rohrpost/rohrposttest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// The rows that the plugin reads for itself must not change the result of the caller.
func TestCallersViewIsUntouched(t *testing.T) {
	db, _ := openDB(t, gorm.Config{})
	require.NoError(t, db.Create(&[]ticket{{BoardID: 1, Title: "a"}, {BoardID: 1, Title: "b"}}).Error)

	var model ticket
	result := db.Model(&model).Where("board_id = ?", 1).Update("title", "x")
	require.NoError(t, result.Error)
	assert.EqualValues(t, 2, result.RowsAffected)
	assert.Zero(t, model.ID)
	assert.Zero(t, model.BoardID)

	result = db.Where("board_id = ?", 1).Delete(&model)
	require.NoError(t, result.Error)
	assert.EqualValues(t, 2, result.RowsAffected)
	assert.Zero(t, model.ID)
}

type fragile struct {
	rohrpost.NotifyOnChange
	ID   uint
	Mode string
}

func (f *fragile) GroupName(string) string {
	switch f.Mode {
	case "panic in GroupName":
		panic("no group today")
	case "bad group":
		return "a group"
	}
	return "fragile"
}

func (f *fragile) PushNotificationData([]string, string) any {
	switch f.Mode {
	case "panic in PushNotificationData":
		panic("no payload today")
	case "not encodable":
		return func() {}
	case "panic while encoding":
		return panicking{}
	}
	return nil
}

type panicking struct{}

func (panicking) MarshalJSON() ([]byte, error) { panic("no JSON today") }

var _ json.Marshaler = panicking{}

func TestFailuresStayAwayFromTheWrite(t *testing.T) {
	for _, mode := range []string{"panic in GroupName", "bad group", "panic in PushNotificationData", "not encodable", "panic while encoding"} {
		t.Run(mode, func(t *testing.T) {
			db, rec := openDB(t, gorm.Config{}, &fragile{})
			require.NoError(t, db.Create(&[]fragile{{Mode: mode}, {Mode: "good"}}).Error)
			assert.Equal(t, []string{`create fragile null`}, rec.take(), "only the one change is skipped")
			assert.EqualValues(t, 1, rec.hub.Stats().Skipped)
			assert.Contains(t, rec.logs.String(), "model=fragile key=1")

			var count int64
			require.NoError(t, db.Model(&fragile{}).Count(&count).Error)
			assert.EqualValues(t, 2, count)
		})
	}
	t.Run("error of the hub", func(t *testing.T) {
		db, rec := openDB(t, gorm.Config{})
		require.NoError(t, rec.hub.Shutdown(t.Context()))
		require.NoError(t, db.Create(&task{}).Error)
		assert.EqualValues(t, 1, rec.hub.Stats().Skipped)
		assert.Contains(t, rec.logs.String(), "model=task key=1")
	})
}

func TestPluginNeedsAHub(t *testing.T) {
	require.Error(t, sqlitetest.Open(t, gorm.Config{}).Use(rohrpost.Plugin(nil)))
}

func TestPluginTakesOneConfig(t *testing.T) {
	assert.PanicsWithValue(t, "rohrpost: Plugin takes one PluginConfig at most", func() {
		rohrpost.Plugin(rohrpost.NewHub(rohrpost.Config{}), rohrpost.PluginConfig{}, rohrpost.PluginConfig{})
	})
}

func TestPluginInTheConfig(t *testing.T) {
	p := rohrpost.Plugin(rohrpost.NewHub(rohrpost.Config{}))
	db := sqlitetest.Open(t, gorm.Config{PrepareStmt: true, Plugins: map[string]gorm.Plugin{p.Name(): p}})
	rec := recorder{Recorder: rohrposttest.Record(t, db)}
	require.NoError(t, db.AutoMigrate(&task{}))
	require.NoError(t, db.Transaction(func(tx *gorm.DB) error { return tx.Create(&task{}).Error }))
	assert.Equal(t, []string{`create task-1 {"id":1}`}, rec.take())
}

// GORM initializes the plugins of its configuration, also one that is in use already.
func TestPluginInitializedTwice(t *testing.T) {
	db, rec := openDB(t, gorm.Config{})
	require.NoError(t, db.Plugins[rohrpost.Plugin(nil).Name()].Initialize(db))
	require.NoError(t, db.Create(&[]task{{}, {}}).Error)
	require.NoError(t, db.Model(&task{}).Where("id > 0").Update("done", true).Error)
	want := []string{`create task-1 {"id":1}`, `create task-2 {"id":2}`, `update task-1 {"id":1} done`, `update task-2 {"id":2} done`}
	assert.Equal(t, want, rec.take())
	assert.Empty(t, rec.logs.String())
}

// The plugin's queries about tables do not stay in the store of prepared statements.
func TestPreparedStatements(t *testing.T) {
	db, rec := openDB(t, gorm.Config{PrepareStmt: true})
	require.NoError(t, db.Transaction(func(tx *gorm.DB) error { return tx.Create(&ticket{}).Error }))
	require.NoError(t, db.Create(&ticket{}).Error)
	assert.Len(t, rec.take(), 2)
	for _, text := range db.ConnPool.(*gorm.PreparedStmtDB).Stmts.Keys() {
		assert.NotContains(t, text, "pragma_")
	}
}

func TestNetEffect(t *testing.T) {
	type quiet struct {
		rohrpost.NotifyOnUpdate `rohrpost:"group:quiet"`
		ID                      uint
		Title                   string
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
			db, rec := openConfigured(t, rohrpost.PluginConfig{NetEffect: true}, &quiet{})
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

func openConfigured(t *testing.T, config rohrpost.PluginConfig, models ...any) (*gorm.DB, *recorder) {
	db := sqlitetest.Open(t, gorm.Config{})
	return db, use(t, db, config, models...)
}

func TestJSONNames(t *testing.T) {
	db, rec := openConfigured(t, rohrpost.PluginConfig{JSONNames: true}, &step{})
	require.NoError(t, db.Create(&step{BoardID: 1}).Error)
	require.NoError(t, db.Model(&step{ID: 1}).Updates(step{Title: "x", Secret: "y"}).Error)
	require.NoError(t, db.Model(&step{ID: 1}).Update("secret", "z").Error)
	require.NoError(t, db.Model(&step{ID: 1}).Update("board_id", 1).Error)
	assert.Equal(t, []string{`create board-1 {"id":1}`, `update board-1 {"id":1} name`, `update board-1 {"id":1}`, `update board-1 {"id":1} BoardID`}, rec.take())
}

// Where rows are unknown, all groups that they may concern get a resync, and no others.
func TestUnknownRows(t *testing.T) {
	db, rec := openDB(t, gorm.Config{}, &step{})
	engine := db.Dialector
	db.Config.Dialector = unknownDialect{engine}
	require.NoError(t, db.Create(&[]step{{ID: 1, BoardID: 1}, {ID: 2, BoardID: 1}}).Error)
	require.NoError(t, db.Model(&task{ID: 1}).Update("done", true).Error, "a missing row")
	require.NoError(t, db.Model(&step{}).Where("id > 0").Update("title", "x").Error)
	require.NoError(t, db.Where("id > 1").Delete(&step{}).Error)
	require.NoError(t, db.Clauses(clause.OnConflict{DoNothing: true}).Create(&step{ID: 7, BoardID: 1}).Error)
	resync := `resync board-{board_id} {"reason":"unknown"}`
	assert.Equal(t, []string{`create board-1 {"id":1}`, `create board-1 {"id":2}`, resync, resync, resync}, rec.take())
}

// unknownDialect is a database that the plugin does not know.
type unknownDialect struct{ gorm.Dialector }

func (unknownDialect) Name() string { return "unknown" }
