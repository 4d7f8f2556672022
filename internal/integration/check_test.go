package integration

import (
	"testing"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/internal/writetest"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

// TestCheck compares a model with tables whose text key has one collation or another.
func TestCheck(t *testing.T) {
	type word struct {
		rohrpost.NotifyOnChange
		Text string `gorm:"primaryKey;size:50"`
		Rank int
	}
	tables := map[string]map[string]string{
		"sqlite":   {"TEXT": "", "TEXT COLLATE NOCASE": "the key column"},
		"postgres": {"TEXT": "", `TEXT COLLATE "loose"`: "the key column"},
		"mysql":    {"VARCHAR(50) COLLATE utf8mb4_bin": "", "VARCHAR(50)": "the key column"},
	}
	onEach(t, func(t *testing.T, e writetest.Engine) {
		for definition, want := range tables[e.SQL] {
			db := e.Open(t, gorm.Config{})
			if e.SQL == "postgres" {
				require.NoError(t, db.Exec(`CREATE COLLATION "loose" (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`).Error)
			}
			require.NoError(t, db.Exec("CREATE TABLE words (text "+definition+" PRIMARY KEY)").Error)
			require.ErrorContains(t, rohrpost.Check(db, &word{}), `there is no column "rank"`)
			require.NoError(t, db.AutoMigrate(&word{}))
			require.NoError(t, db.Create(&word{Text: "a"}).Error)
			if err := rohrpost.Check(db, &word{}); want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, want)
			}
			require.NoError(t, db.Exec("CREATE UNIQUE INDEX ranks ON words (text, rank)").Error)
			require.ErrorContains(t, rohrpost.Check(db, &word{}), "does not declare the unique index ranks of text, rank")
		}
	})
}
