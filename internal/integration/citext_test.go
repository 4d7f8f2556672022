package integration

import (
	"testing"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/rohrposttest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

// TestCitext upserts keys of the type citext in another spelling. Where the operators of the
// type are not in the search path, a lookup heeds the case and the index does not: then the
// plugin cannot know the row.
func TestCitext(t *testing.T) {
	type nickname struct {
		rohrpost.NotifyOnChange `rohrpost:"group:nicknames;payload:title"`
		ID                      string `gorm:"primaryKey;type:public.citext"`
		Title                   string
	}
	for path, want := range map[string]string{"": "resync", ", public": "update"} {
		db := openPostgres(t, gorm.Config{})
		if err := db.Exec("CREATE EXTENSION IF NOT EXISTS citext SCHEMA public").Error; err != nil {
			t.Skip("the extension citext is not there: ", err)
		}
		pool, err := db.DB()
		require.NoError(t, err)
		pool.SetMaxOpenConns(1) // for SET
		require.NoError(t, db.AutoMigrate(&nickname{}))
		var schema string
		require.NoError(t, db.Raw("SELECT current_schema()").Scan(&schema).Error)
		require.NoError(t, db.Exec("SET search_path = "+schema+path).Error)
		require.NoError(t, db.Create(&nickname{ID: "ABC", Title: "a"}).Error)
		require.NoError(t, db.Use(rohrpost.Plugin(rohrpost.NewHub(rohrpost.Config{}))))
		rec := rohrposttest.Record(t, db)
		require.NoError(t, db.Save(&[]nickname{{ID: "abc", Title: "b"}}).Error)
		sent := rec.Published()
		require.Len(t, sent, 1, "search path %q", path)
		assert.Equal(t, want, sent[0].Type, "search path %q", path)
	}
}
