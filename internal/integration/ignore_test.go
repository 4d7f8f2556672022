package integration

import (
	"testing"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/rohrposttest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// short has a key that INSERT IGNORE cuts off.
type short struct {
	rohrpost.NotifyOnChange
	Code string `gorm:"primaryKey;type:varchar(3) collate utf8mb4_bin"`
}

// INSERT IGNORE of MySQL keeps a row under another key than the program gave.
func TestIgnoreAdjustsKeys(t *testing.T) {
	for _, e := range engines {
		if e.SQL != "mysql" {
			continue
		}
		t.Run(e.Name, func(t *testing.T) {
			db := e.Open(t, gorm.Config{})
			require.NoError(t, db.Use(rohrpost.Plugin(rohrpost.NewHub(rohrpost.Config{}))))
			require.NoError(t, db.AutoMigrate(&short{}))
			published := rohrposttest.Record(t, db)
			require.NoError(t, db.Clauses(clause.Insert{Modifier: "IGNORE"}).Create(&[]short{{Code: "ab"}, {Code: "abcd"}}).Error)
			var sent []string
			for _, c := range published.Published() {
				sent = append(sent, c.Type+" "+c.Group)
			}
			assert.Equal(t, []string{"create short-ab", "resync short-{pk}"}, sent)
		})
	}
}
