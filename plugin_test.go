package rohrpost

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

func TestWritesAreAnnounced(t *testing.T) {
	ctx := context.Background()
	for _, test := range []struct {
		name  string
		write func(db *gorm.DB) error
		want  []string
	}{
		{"create", func(db *gorm.DB) error { return db.Create(&task{Title: "x"}).Error }, []string{`create task-4 {"id":4}`}},
		{"create a slice", func(db *gorm.DB) error { return db.Create(&[]task{{}, {}}).Error }, []string{`create task-4 {"id":4}`, `create task-5 {"id":5}`}},
		{"create a slice of pointers", func(db *gorm.DB) error { return db.Create([]*task{{}, {ID: 9}}).Error }, []string{`create task-4 {"id":4}`, `create task-9 {"id":9}`}},
		{"create in batches", func(db *gorm.DB) error { return db.CreateInBatches(&[]task{{}, {}, {}}, 2).Error }, []string{`create task-4 {"id":4}`, `create task-5 {"id":5}`, `create task-6 {"id":6}`}},
		{"create with a given key", func(db *gorm.DB) error { return db.Create(&task{ID: 70}).Error }, []string{`create task-70 {"id":70}`}},
		{"create from a map", func(db *gorm.DB) error {
			return db.Model(&ticket{}).Create(map[string]any{"board_id": 5, "title": "m"}).Error
		}, []string{`create board-5 {"board":5,"id":3,"title":"m"}`}},
		{"create, leaving out a column", func(db *gorm.DB) error {
			return db.Omit("Title").Create(&ticket{BoardID: 5, Title: "not written"}).Error
		}, []string{`create board-5 {"board":5,"id":3,"title":""}`}},
		{"generic create", func(db *gorm.DB) error { return gorm.G[task](db).Create(ctx, &task{}) }, []string{`create task-4 {"id":4}`}},

		{"update a column", func(db *gorm.DB) error { return db.Model(&task{ID: 1}).Update("title", "y").Error }, []string{`update task-1 {"id":1} title`}},
		{"update by a struct", func(db *gorm.DB) error { return db.Model(&task{ID: 1}).Updates(task{Title: "y", Done: true}).Error }, []string{`update task-1 {"id":1} title,done`}},
		{"update by a map", func(db *gorm.DB) error {
			return db.Model(&task{ID: 1}).Updates(map[string]any{"done": true, "Title": "y"}).Error
		}, []string{`update task-1 {"id":1} title,done`}},
		{"update selected", func(db *gorm.DB) error {
			return db.Model(&task{ID: 1}).Select("done").Updates(task{Title: "y"}).Error
		}, []string{`update task-1 {"id":1} done`}},
		{"update by an expression", func(db *gorm.DB) error {
			return db.Model(&ticket{ID: 1}).Update("title", gorm.Expr("title || ?", "!")).Error
		}, []string{`update board-1 {"board":1,"id":1,"title":"a!"} title`}},
		{"update without hooks", func(db *gorm.DB) error { return db.Model(&task{ID: 1}).UpdateColumn("title", "y").Error }, []string{`update task-1 {"id":1} title`}},
		{"update the time itself", func(db *gorm.DB) error {
			return db.Model(&task{ID: 1}).Update("updated_at", "2026-01-01 00:00:00").Error
		}, []string{`update task-1 {"id":1} updated_at`}},
		{"save", func(db *gorm.DB) error { return db.Save(&task{ID: 1, Title: "y"}).Error }, []string{`update task-1 {"id":1}`}},
		{"save without a key", func(db *gorm.DB) error { return db.Save(&task{Title: "y"}).Error }, []string{`create task-4 {"id":4}`}},
		{"save with an unknown key", func(db *gorm.DB) error { return db.Save(&task{ID: 80}).Error }, []string{`create task-80 {"id":80}`}},
		{"save a slice", func(db *gorm.DB) error { return db.Save(&[]task{{ID: 1}, {ID: 81}}).Error }, []string{`update task-1 {"id":1}`, `create task-81 {"id":81}`}},
		{"update a slice by key", func(db *gorm.DB) error {
			return db.Model(&[]task{{ID: 1}, {ID: 2}, {ID: 99}}).Update("done", true).Error
		}, []string{`update task-1 {"id":1} done`, `update task-2 {"id":2} done`}},
		{"update a missing row", func(db *gorm.DB) error { return db.Model(&task{ID: 99}).Update("title", "y").Error }, []string{}},
		{"generic update", func(db *gorm.DB) error {
			_, err := gorm.G[task](db).Where("id = ?", 1).Update(ctx, "title", "y")
			return err
		}, []string{`update task-1 {"id":1} title`}},
		{"generic updates", func(db *gorm.DB) error {
			_, err := gorm.G[ticket](db).Where("id = ?", 2).Updates(ctx, ticket{Title: "y"})
			return err
		}, []string{`update board-2 {"board":2,"id":2,"title":"y"} title`}},
		{"update reads the row", func(db *gorm.DB) error { return db.Model(&ticket{ID: 2}).Update("title", "y").Error }, []string{`update board-2 {"board":2,"id":2,"title":"y"} title`}},
		{"update with the caller's own RETURNING", func(db *gorm.DB) error {
			var tickets []ticket
			err := db.Model(&tickets).Clauses(clause.Returning{Columns: []clause.Column{{Name: "id"}}}).Where("id = ?", 2).Update("title", "y").Error
			if err == nil && (len(tickets) != 1 || tickets[0].ID != 2 || tickets[0].BoardID != 0) {
				return errors.New("RETURNING must not be touched")
			}
			return err
		}, []string{`update board-2 {"board":2,"id":2,"title":"y"} title`}},

		{"delete", func(db *gorm.DB) error { return db.Delete(&task{ID: 1}).Error }, []string{`delete task-1 {"id":1}`}},
		{"delete by inline key", func(db *gorm.DB) error { return db.Delete(&task{}, 1).Error }, []string{`delete task-1 {"id":1}`}},
		{"delete a slice by key", func(db *gorm.DB) error { return db.Delete(&[]task{{ID: 1}, {ID: 2}, {ID: 99}}).Error }, []string{`delete task-1 {"id":1}`, `delete task-2 {"id":2}`}},
		{"delete shows the row as it was", func(db *gorm.DB) error { return db.Delete(&ticket{ID: 2}).Error }, []string{`delete board-2 {"board":2,"id":2,"title":"b"}`}},
		{"delete a missing row", func(db *gorm.DB) error { return db.Delete(&task{ID: 99}).Error }, []string{}},
		{"generic delete", func(db *gorm.DB) error {
			_, err := gorm.G[task](db).Where("id = ?", 1).Delete(ctx)
			return err
		}, []string{`delete task-1 {"id":1}`}},

		{"upsert, DO NOTHING", func(db *gorm.DB) error {
			return db.Clauses(clause.OnConflict{DoNothing: true}).Create(&[]task{{ID: 1}, {ID: 70}}).Error
		}, []string{`create task-70 {"id":70}`}},
		{"upsert, DO UPDATE", func(db *gorm.DB) error {
			return db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, DoUpdates: clause.AssignmentColumns([]string{"title"})}).
				Create(&[]ticket{{ID: 1, Title: "z", BoardID: 9}, {ID: 70, BoardID: 9}}).Error
		}, []string{`update board-1 {"board":1,"id":1,"title":"z"} title`, `create board-9 {"board":9,"id":70,"title":""}`}},
		{"dry run", func(db *gorm.DB) error {
			return db.Session(&gorm.Session{DryRun: true}).Create(&task{}).Error
		}, []string{}},
		{"silent", func(db *gorm.DB) error { return db.WithContext(Silent(ctx)).Create(&task{}).Error }, []string{}},
		{"an empty update", func(db *gorm.DB) error { return db.Model(&task{ID: 1}).Omit("UpdatedAt").Updates(task{}).Error }, []string{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			eachMode(t, func(t *testing.T, db *gorm.DB, rec *recorder) {
				require.NoError(t, db.Create(&[]task{{Title: "a"}, {Title: "b"}, {Title: "c"}}).Error)
				require.NoError(t, db.Create(&[]ticket{{BoardID: 1, Title: "a"}, {BoardID: 2, Title: "b"}}).Error)
				rec.take()
				require.NoError(t, test.write(db))
				assert.Equal(t, test.want, rec.take())
				assert.Empty(t, rec.logs.String())
			})
		})
	}
}

// What the plugin reads for itself must not be seen in what the caller gets.
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
	NotifyOnChange
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
			assert.EqualValues(t, 1, rec.counters.skipped.Load())
			assert.Contains(t, rec.logs.String(), "model=fragile key=1")

			var count int64
			require.NoError(t, db.Model(&fragile{}).Count(&count).Error)
			assert.EqualValues(t, 2, count)
		})
	}
	for name, publish := range map[string]func(context.Context, ...Change) error{
		"error of the hub": func(context.Context, ...Change) error { return errors.New("closed") },
		"panic of the hub": func(context.Context, ...Change) error { panic("broken") },
	} {
		t.Run(name, func(t *testing.T) {
			db, rec := openDB(t, gorm.Config{})
			db.Plugins[pluginName].(*plugin).publish = publish
			require.NoError(t, db.Create(&task{}).Error)
			assert.EqualValues(t, 1, rec.counters.skipped.Load())
			assert.Contains(t, rec.logs.String(), "model=task key=1")
		})
	}
}

func TestPluginNeedsAHub(t *testing.T) {
	require.Error(t, openBareDB(t, gorm.Config{}).Use(Plugin(nil)))
}

func TestPluginInTheConfig(t *testing.T) {
	rec := &recorder{}
	p := Plugin(NewHub(Config{})).(*plugin)
	p.publish = rec.publish
	db := openBareDB(t, gorm.Config{PrepareStmt: true, Plugins: map[string]gorm.Plugin{p.Name(): p}})
	require.NoError(t, db.AutoMigrate(&task{}))
	require.NoError(t, db.Transaction(func(tx *gorm.DB) error { return tx.Create(&task{}).Error }))
	assert.Equal(t, []string{`create task-1 {"id":1}`}, rec.take())
}
