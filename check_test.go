package rohrpost_test

import (
	"testing"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/internal/sqlitetest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

// The models of TestCheck, each with one problem.
type (
	unmarked struct{ ID uint }
	badTag   struct {
		rohrpost.NotifyOnChange `rohrpost:"group:a-{nothing}"`
		ID                      uint
	}
	badGroupName struct {
		rohrpost.NotifyOnChange
		ID uint
	}
	badGroupNames struct {
		rohrpost.NotifyOnChange
		ID uint
	}
	badPayload struct {
		rohrpost.NotifyOnChange
		ID uint
	}
	keylessGroup struct {
		rohrpost.NotifyOnChange
		Text string
	}
	keylessObject struct {
		rohrpost.NotifyOnChange `rohrpost:"group:logs"`
		Text                    string
	}
)

func (badGroupName) GroupName() string                          { return "" }
func (*badGroupNames) GroupNames(string) string                 { return "" }
func (badPayload) PushNotificationData([]string) any            { return nil }
func (keylessGroup) PushNotificationData([]string, string) any  { return nil }
func (*keylessObject) PushNotificationDat([]string, string) any { return nil }

var badModels = map[string]any{
	"the model has no marker": &unmarked{},
	`no column "nothing"`:     &badTag{},
	"the method GroupName is a func() string, not a func(string) string":                                          &badGroupName{},
	"the method GroupNames is a func(string) string, not a func(string) []string":                                 &badGroupNames{},
	"the method PushNotificationData is a func([]string) interface {}, not a func([]string, string) interface {}": &badPayload{},
	"the marker's tag has to name the group by other columns":                                                     &keylessGroup{},
	"the model needs a PushNotificationData method":                                                               &keylessObject{},
}

func TestCheckOfModels(t *testing.T) {
	for want, model := range badModels {
		t.Run(want, func(t *testing.T) {
			bare := sqlitetest.Open(t, gorm.Config{})
			require.ErrorContains(t, rohrpost.Check(bare, &task{}, model), want, "without the plugin")
			db, rec := openDB(t, gorm.Config{})
			require.NoError(t, db.AutoMigrate(model))
			require.ErrorContains(t, rohrpost.Check(db, &task{}, model), want)
			hub := rohrpost.NewHub(rohrpost.Config{})
			require.ErrorContains(t, bare.Use(rohrpost.Plugin(hub, rohrpost.PluginConfig{Models: []any{&task{}, model}})), want)

			for range 3 {
				require.NoError(t, db.Create(model).Error)
				require.NoError(t, db.Where("1 = 1").Delete(model).Error)
			}
			assert.Empty(t, rec.take())
			counted := map[bool]uint64{true: 6}[want != "the model has no marker"]
			assert.Equal(t, counted, rec.hub.Stats().Skipped, "each write")
		})
	}
	require.ErrorContains(t, rohrpost.Check(sqlitetest.Open(t, gorm.Config{}), 7), "parse the model int")
}

// Models are checked before their tables are there.
func TestModelsOfPluginConfig(t *testing.T) {
	db := sqlitetest.Open(t, gorm.Config{})
	rec := use(t, db, rohrpost.PluginConfig{Models: []any{&task{}, &ticket{}, ticket{}}})
	require.NoError(t, db.Create(&task{ID: 1}).Error)
	assert.Len(t, rec.take(), 1)
}

func TestCheckOfTables(t *testing.T) {
	type checked struct {
		rohrpost.NotifyOnChange
		Code  string `gorm:"primaryKey"`
		Email string `gorm:"uniqueIndex"`
		Count int
	}
	const indexed = "CREATE UNIQUE INDEX emails ON checkeds (email)"
	for want, statements := range map[string][]string{
		"": {"CREATE TABLE checkeds (code TEXT PRIMARY KEY, email TEXT, count INTEGER, more TEXT)", indexed, "INSERT INTO checkeds VALUES ('a', 'b', 1, '')"},
		"model checked, table checkeds: the table is not there": {},
		`there is no column "count"`:                            {"CREATE TABLE checkeds (code TEXT PRIMARY KEY, email TEXT)", indexed},
		`the column "count" is called "Count"`:                  {"CREATE TABLE checkeds (code TEXT PRIMARY KEY, email TEXT, Count INTEGER)", indexed},
		`the key column "code" ignores differences`:             {"CREATE TABLE checkeds (code TEXT COLLATE NOCASE PRIMARY KEY, email TEXT, count INTEGER)", indexed},
		"does not declare the unique index counts of count": {
			"CREATE TABLE checkeds (code TEXT PRIMARY KEY, email TEXT, count INTEGER)", indexed, "CREATE UNIQUE INDEX counts ON checkeds (count)",
		},
		"the model cannot hold the rows": {
			"CREATE TABLE checkeds (code TEXT PRIMARY KEY, email TEXT, count TEXT)", indexed, "INSERT INTO checkeds VALUES ('a', 'b', 'many')",
		},
	} {
		t.Run(want, func(t *testing.T) {
			db, rec := openDB(t, gorm.Config{})
			for _, statement := range statements {
				require.NoError(t, db.Exec(statement).Error)
			}
			err := rohrpost.Check(db, &checked{}, &task{}, &ticket{})
			if want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, want)
			}
			assert.Empty(t, rec.take())
		})
	}
}
