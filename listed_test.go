package rohrpost_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rohrpost/rohrpost"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Models whose markers list columns.
type (
	listed struct {
		rohrpost.NotifyOnChange `rohrpost:"group:listed;payload:title,state,updated_at"`
		ID                      uint
		Title                   string `json:"title"`
		State                   string `json:"state,omitempty"`
		Secret                  string
		UpdatedAt               time.Time `json:"updated_at"`
	}

	// chosen tells an update only if it sets the state.
	chosen struct {
		rohrpost.NotifyOnChange `rohrpost:"group:chosen;payload:title,state;fields:state"`
		ID                      uint
		Title, State            string
	}

	// triggered has a trigger that writes titles in capitals.
	triggered struct {
		rohrpost.NotifyOnChange `rohrpost:"group:triggered;payload:title;reread:true"`
		ID                      uint
		Title                   string
	}

	// created tells only that there are new rows.
	created struct {
		rohrpost.NotifyOnCreate `rohrpost:"group:created;payload:title"`
		ID                      uint
		Title                   string
	}
)

func openListed(t *testing.T, config rohrpost.PluginConfig) (*gorm.DB, *recorder) {
	db, rec := openConfigured(t, config, &listed{}, &chosen{}, &triggered{}, &created{})
	for _, when := range []string{"INSERT", "UPDATE"} {
		require.NoError(t, db.Exec("CREATE TRIGGER capitals_"+when+" AFTER "+when+" ON triggereds BEGIN UPDATE triggereds SET title = upper(title) WHERE id = new.id; END").Error)
	}
	db.NowFunc = func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }
	return db, rec
}

func TestListedColumns(t *testing.T) {
	const now = `"updated_at":"2026-01-02T03:04:05Z"`
	db, rec := openListed(t, rohrpost.PluginConfig{})
	for _, step := range []struct {
		name string
		run  func() *gorm.DB
		want string
	}{
		{"create", func() *gorm.DB { return db.Create(&listed{Title: "a", Secret: "s"}) }, `create listed {"id":1,"title":"a","state":"",` + now + `}`},
		{"update", func() *gorm.DB { return db.Model(&listed{ID: 1}).Update("state", "x") }, `update listed {"id":1,"state":"x",` + now + `} state partial`},
		{"what is not listed", func() *gorm.DB { return db.Model(&listed{ID: 1}).Update("secret", "x") }, `update listed {"id":1,` + now + `}  partial`},
		{"without the time", func() *gorm.DB { return db.Model(&listed{ID: 1}).UpdateColumn("secret", "x") }, ""},
		{"both", func() *gorm.DB { return db.Model(&listed{ID: 1}).Updates(listed{Title: "b", Secret: "x"}) }, `update listed {"id":1,"title":"b",` + now + `} title partial`},
		{"an expression", func() *gorm.DB {
			return db.Model(&listed{ID: 1}).UpdateColumn("title", gorm.Expr("title || 'c'"))
		}, `update listed {"id":1,"title":"bc"} title partial`},
		{"a value of another type", func() *gorm.DB { return db.Model(&listed{ID: 1}).UpdateColumn("title", 7) }, `update listed {"id":1,"title":"7"} title partial`},
		{"save", func() *gorm.DB { return db.Save(&listed{ID: 1, Title: "d"}) }, `update listed {"id":1,"title":"d","state":"",` + now + `} partial`},
		{"delete", func() *gorm.DB { return db.Delete(&listed{ID: 1}) }, `delete listed {"id":1}`},
		{"create, fields", func() *gorm.DB { return db.Create(&chosen{Title: "a"}) }, `create chosen {"id":1,"Title":"a","State":""}`},
		{"no field", func() *gorm.DB { return db.Model(&chosen{ID: 1}).Update("title", "b") }, ""},
		{"a field", func() *gorm.DB { return db.Model(&chosen{ID: 1}).Updates(chosen{Title: "b", State: "c"}) }, `update chosen {"id":1,"Title":"b","State":"c"} title,state partial`},
		{"create, a trigger", func() *gorm.DB { return db.Create(&triggered{Title: "a"}) }, `create triggered {"id":1,"Title":"A"}`},
		{"update, a trigger", func() *gorm.DB { return db.Model(&triggered{ID: 1}).Update("title", "b") }, `update triggered {"id":1,"Title":"B"} title partial`},
		{"only creates", func() *gorm.DB { return db.Create(&created{Title: "a"}) }, `create created {"id":1,"Title":"a"}`},
		{"no updates", func() *gorm.DB { return db.Model(&created{ID: 1}).Update("title", "b") }, ""},
	} {
		require.NoError(t, step.run().Error, step.name)
		assert.Equal(t, step.want, strings.Join(rec.take(), "; "), step.name)
	}
	assert.Empty(t, rec.logs.String())
}

// A net effect has the columns of all its statements.
func TestNetEffectOfListedColumns(t *testing.T) {
	db, rec := openListed(t, rohrpost.PluginConfig{NetEffect: true})
	quiet := db.WithContext(rohrpost.WithoutNotify(t.Context()))
	for _, test := range []struct {
		name string
		run  func(tx *gorm.DB) error
		want string
	}{
		{"two updates", func(tx *gorm.DB) error {
			return all(tx.Model(&chosen{ID: 1}).Update("state", "b"), tx.Model(&chosen{ID: 1}).Updates(chosen{Title: "b", State: "c"}))
		}, `update chosen {"id":1,"State":"c","Title":"b"} state,title partial`},
		{"create and update", func(tx *gorm.DB) error {
			return all(tx.Create(&chosen{ID: 2, Title: "x"}), tx.Model(&chosen{ID: 2}).Update("state", "b"))
		}, `create chosen {"id":2,"Title":"x","State":"b"}`},
		{"delete, create and update", func(tx *gorm.DB) error {
			return all(tx.Delete(&chosen{ID: 1}), tx.Create(&chosen{ID: 1, Title: "x"}), tx.Model(&chosen{ID: 1}).Update("state", "b"))
		}, `update chosen {"id":1,"Title":"x","State":"b"}`},
		{"update and delete", func(tx *gorm.DB) error {
			return all(tx.Model(&chosen{ID: 1}).Update("state", "b"), tx.Delete(&chosen{ID: 1}))
		}, `delete chosen {"id":1}`},
		{"an update that a savepoint takes back", func(tx *gorm.DB) error {
			_ = tx.Model(&chosen{ID: 1}).Update("state", "b")
			_ = tx.Transaction(func(tx *gorm.DB) error {
				return all(tx.Model(&chosen{ID: 1}).Updates(chosen{Title: "no", State: "no"}), tx.AddError(errWanted))
			})
			return all(tx.Session(&gorm.Session{NewDB: true}).Model(&chosen{ID: 1}).Update("state", "c"))
		}, `update chosen {"id":1,"State":"c"} state partial`},
	} {
		require.NoError(t, quiet.Where("1 = 1").Delete(&chosen{}).Error)
		require.NoError(t, quiet.Create(&chosen{ID: 1, Title: "a", State: "a"}).Error)
		require.NoError(t, db.Transaction(test.run), test.name)
		assert.Equal(t, test.want, strings.Join(rec.take(), "; "), test.name)
	}
}

func TestJSONNamesOfListedColumns(t *testing.T) {
	db, rec := openListed(t, rohrpost.PluginConfig{JSONNames: true})
	require.NoError(t, db.Create(&chosen{}).Error)
	require.NoError(t, db.Model(&chosen{ID: 1}).Update("state", "x").Error)
	assert.Equal(t, []string{`create chosen {"id":1,"Title":"","State":""}`, `update chosen {"id":1,"State":"x"} State partial`}, rec.take())
}

// The pointers that a write is given are the program's: what the plugin makes of their values,
// such as a time without its monotonic reading, it keeps in memory of its own.
func TestListedColumnsLeaveTheProgramsMemory(t *testing.T) {
	type dated struct {
		rohrpost.NotifyOnChange `rohrpost:"group:dated;payload:due,seen"`
		ID                      uint
		Due                     *time.Time
		Seen                    *sql.NullTime
	}
	db, rec := openConfigured(t, rohrpost.PluginConfig{}, &dated{})
	given := time.Now() // with a monotonic reading, which no table keeps
	due, seen := given, sql.NullTime{Time: given, Valid: true}
	require.NoError(t, db.Create(&dated{Due: &due, Seen: &seen}).Error)
	require.NoError(t, db.Model(&dated{ID: 1}).Updates(map[string]any{"due": &due, "seen": &seen}).Error)
	require.NoError(t, db.Model(&dated{ID: 1}).Updates(dated{Due: &due, Seen: &seen}).Error)
	assert.Len(t, rec.Sent(), 3)
	assert.Equal(t, given, due)
	assert.Equal(t, given, seen.Time)
}

// A nil pointer of a type whose Value method is that of the value is a null.
func TestNilValuer(t *testing.T) {
	type dated struct {
		rohrpost.NotifyOnChange `rohrpost:"group:dated;payload:seen"`
		ID                      uint
		Seen                    *sql.NullTime
	}
	db, rec := openConfigured(t, rohrpost.PluginConfig{}, &dated{})
	require.NoError(t, db.Create(&dated{}).Error)
	assert.Equal(t, []string{`create dated {"id":1,"Seen":null}`}, rec.take())
}

// loud is a key whose text panics.
type loud struct{ text string }

func (loud) MarshalText() ([]byte, error) { panic("no text today") }

func (l loud) Value() (driver.Value, error) { return l.text, nil }

func (l *loud) Scan(value any) error {
	l.text = fmt.Sprint(value)
	return nil
}

// A method of a key's type is the user's code: its panic is not that of the write.
func TestPanicOfKey(t *testing.T) {
	type cry struct {
		rohrpost.NotifyOnChange `rohrpost:"group:cries"`
		ID                      loud `gorm:"primaryKey;type:text"`
		Text                    string
	}
	db, rec := openConfigured(t, rohrpost.PluginConfig{}, &cry{})
	require.NoError(t, db.Create(&cry{ID: loud{"a"}}).Error)
	require.NoError(t, db.Model(&cry{}).Where("1 = 1").Update("text", "x").Error)
	require.NoError(t, db.Delete(&cry{ID: loud{"a"}}).Error)
	assert.Empty(t, rec.take())
	var count int64
	require.NoError(t, db.Model(&cry{}).Count(&count).Error)
	assert.Zero(t, count)
}

// spelled has columns that are not spelled as GORM would.
type spelled struct {
	rohrpost.NotifyOnChange `rohrpost:"group:spelled-{TeamID};payload:Title"`
	ID                      uint
	TeamID                  int    `gorm:"column:TeamID"`
	Title                   string `gorm:"column:Title"`
}

// TestColumnsSpelledOtherwise names columns as the database allows, but not as the model does.
func TestColumnsSpelledOtherwise(t *testing.T) {
	db, rec := openConfigured(t, rohrpost.PluginConfig{}, &spelled{})
	require.NoError(t, db.Create(&spelled{TeamID: 1, Title: "a"}).Error)
	rec.take()
	upsert := func(column string, row spelled) *gorm.DB {
		return db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "ID"}}, DoUpdates: clause.AssignmentColumns([]string{column})}).Create(&row)
	}
	for _, step := range []struct {
		name string
		run  func(row *gorm.DB) *gorm.DB
		want string
	}{
		{"a listed column", func(row *gorm.DB) *gorm.DB { return row.Update("title", "b") }, `update spelled-1 {"id":1,"Title":"b"} Title partial`},
		{"in a map", func(row *gorm.DB) *gorm.DB { return row.Updates(map[string]any{"TITLE": "c"}) }, `update spelled-1 {"id":1,"Title":"c"} Title partial`},
		{"into another group", func(row *gorm.DB) *gorm.DB { return row.Update("teamid", 2) }, `delete spelled-1 {"id":1}; create spelled-2 {"id":1,"Title":"c"}`},
		{"a clause", func(row *gorm.DB) *gorm.DB {
			return row.Where("id = 1").Clauses(clause.Set{{Column: clause.Column{Name: "title"}, Value: "d"}}).Update("ID", gorm.Expr("id"))
		}, `update spelled-2 {"id":1,"Title":"d"} Title partial`},
		{
			"an upsert", func(*gorm.DB) *gorm.DB { return upsert("title", spelled{ID: 1, TeamID: 2, Title: "e"}) },
			`update spelled-2 {"id":1,"Title":"e"} Title partial`,
		},
		{
			"an upsert into another group", func(*gorm.DB) *gorm.DB { return upsert("TEAMID", spelled{ID: 1, TeamID: 3, Title: "f"}) },
			`delete spelled-2 {"id":1}; create spelled-3 {"id":1,"Title":"e"}`,
		},
		{"in quotes", func(row *gorm.DB) *gorm.DB { return row.Update("`title`", "g") }, `update spelled-3 {"id":1,"Title":"g"} Title partial`},
		{"into another group, in quotes", func(row *gorm.DB) *gorm.DB { return row.Update("`TeamID`", 4) }, `delete spelled-3 {"id":1}; create spelled-4 {"id":1,"Title":"g"}`},
		{"raw", func(row *gorm.DB) *gorm.DB {
			return row.Where("id = 1").Clauses(clause.Set{{Column: clause.Column{Name: `"TeamID"`, Raw: true}, Value: 5}}).Update("ID", gorm.Expr("id"))
		}, `delete spelled-4 {"id":1}; create spelled-5 {"id":1,"Title":"g"}`},
		{"two columns, raw", func(row *gorm.DB) *gorm.DB {
			return row.Where("id = 1").Clauses(clause.Set{{Column: clause.Column{Name: "(TeamID, Title)", Raw: true}, Value: gorm.Expr("(6, 'h')")}}).Update("ID", gorm.Expr("id"))
		}, `delete spelled-5 {"id":1}; create spelled-6 {"id":1,"Title":"h"}`},
		{"the key", func(row *gorm.DB) *gorm.DB { return row.Update("iD", 7) }, `delete spelled-6 {"id":1}; create spelled-6 {"id":7,"Title":"h"}`},
	} {
		require.NoError(t, step.run(db.Model(&spelled{ID: 1})).Error, step.name)
		assert.Equal(t, step.want, strings.Join(rec.take(), "; "), step.name)
	}
	assert.Empty(t, rec.logs.String())
}

// numbered has a number as encoding/json keeps it.
type numbered struct {
	rohrpost.NotifyOnChange `rohrpost:"group:numbered;payload:amount,rest"`
	ID                      uint
	Amount                  json.Number  `gorm:"type:text" json:"amount"`
	Rest                    *json.Number `gorm:"type:text" json:"rest"`
}

func TestNumbersAsTextOfListedColumns(t *testing.T) {
	db, rec := openConfigured(t, rohrpost.PluginConfig{}, &numbered{})
	rest := json.Number("1e3")
	for _, row := range []numbered{{Amount: "12.50", Rest: &rest}, {}} {
		require.NoError(t, db.Create(&row).Error)
		amount, err := json.Marshal(row.Amount)
		require.NoError(t, err)
		others, err := json.Marshal(row.Rest)
		require.NoError(t, err)
		assert.Equal(t, []string{fmt.Sprintf(`create numbered {"id":%d,"amount":%s,"rest":%s}`, row.ID, amount, others)}, rec.take())
	}
}

// Models whose keys are numbers that JavaScript cannot keep, as doc/CLIENT.md tells programs
// to write them.
type (
	large struct {
		rohrpost.NotifyOnChange `rohrpost:"group:large-{pk};payload:title"`
		ID                      int64  `json:"id,string"`
		Title                   string `json:"title"`
	}
	bare struct {
		rohrpost.NotifyOnChange `rohrpost:"group:bare-{id}"`
		ID                      int64 `json:"id,string"`
		Title                   string
	}
	compound struct {
		rohrpost.NotifyOnChange `rohrpost:"group:compound-{pk}"`
		Shop                    int64 `gorm:"primaryKey;autoIncrement:false" json:"shop,string"`
		Item                    int64 `gorm:"primaryKey;autoIncrement:false"`
		Title                   string
	}
	veiled struct {
		rohrpost.NotifyOnChange `rohrpost:"group:veiled-{pk}"`
		ID                      int64 `json:"id,string"`
		Title                   string
	}
)

func (veiled) PushNotificationDataTx(*gorm.DB, rohrpost.PayloadQuery) (any, error) { return nil, nil }

// The key in an object is that of a snapshot, whatever the object is made of.
func TestKeysOfObjects(t *testing.T) {
	const id = 738529527931269425
	for _, net := range []bool{false, true} {
		db, rec := openConfigured(t, rohrpost.PluginConfig{NetEffect: net}, &large{}, &bare{}, &compound{}, &veiled{})
		rec.hub.AllowViews("veiled-{id}", []string{"guest"}, func(context.Context, *rohrpost.Conn, rohrpost.Params) (string, error) {
			return "guest", nil
		})
		for _, test := range []struct {
			row  any
			want []string
		}{
			{&large{ID: id, Title: "a"}, []string{
				`create large-738529527931269425 {"id":"738529527931269425","title":"a"}`,
				`update large-738529527931269425 {"id":"738529527931269425","title":"b"} title partial`,
				`delete large-738529527931269425 {"id":"738529527931269425"}`,
			}},
			{&bare{ID: id}, []string{
				`create bare-738529527931269425 {"id":"738529527931269425"}`,
				`update bare-738529527931269425 {"id":"738529527931269425"} title`,
				`delete bare-738529527931269425 {"id":"738529527931269425"}`,
			}},
			{&compound{Shop: id, Item: 2}, []string{
				`create compound-738529527931269425:2 {"id":["738529527931269425",2]}`,
				`update compound-738529527931269425:2 {"id":["738529527931269425",2]} title`,
				`delete compound-738529527931269425:2 {"id":["738529527931269425",2]}`,
			}},
			{&veiled{ID: id}, []string{
				`delete veiled-738529527931269425 {"id":"738529527931269425"}`, // it is hidden from the view
				`delete veiled-738529527931269425 {"id":"738529527931269425"}`,
			}},
		} {
			require.NoError(t, db.Create(test.row).Error)
			require.NoError(t, db.Model(test.row).Update("title", "b").Error)
			require.NoError(t, db.Delete(test.row).Error)
			assert.Equal(t, test.want, rec.take())
			require.NoError(t, db.Transaction(func(tx *gorm.DB) error {
				return errors.Join(tx.Create(test.row).Error, tx.Delete(test.row).Error)
			}))
			assert.Equal(t, net, len(rec.take()) == 0, "it comes to nothing")
		}
	}
}
