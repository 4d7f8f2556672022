package rohrpost

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/rohrpost/rohrpost/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

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
	for name, publish := range map[string]func([]wire.Change) error{
		"error of the hub": func([]wire.Change) error { return errors.New("closed") },
		"panic of the hub": func([]wire.Change) error { panic("broken") },
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
	p.publish, p.heard = rec.publish, everybody
	db := openBareDB(t, gorm.Config{PrepareStmt: true, Plugins: map[string]gorm.Plugin{p.Name(): p}})
	require.NoError(t, db.AutoMigrate(&task{}))
	require.NoError(t, db.Transaction(func(tx *gorm.DB) error { return tx.Create(&task{}).Error }))
	assert.Equal(t, []string{`create task-1 {"id":1}`}, rec.take())
}
