package writetest

import (
	"errors"
	"testing"

	"github.com/rohrpost/rohrpost"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

// Outdated has a column whose Scanner refuses some values of the database.
type Outdated struct {
	rohrpost.NotifyOnChange `rohrpost:"group:board-{board}"`
	ID                      int64
	Board                   int64
	State                   OutdatedState `gorm:"size:20"`
}

// PushNotificationData implements rohrpost.PayloadProvider. It may look at the state.
func (o Outdated) PushNotificationData([]string, string) any { return object{"id": o.ID} }

// OutdatedState is a text that is not "legacy".
type OutdatedState string

// Scan implements sql.Scanner.
func (s *OutdatedState) Scan(value any) error {
	text, ok := value.(string)
	if !ok {
		text = string(value.([]byte))
	}
	if text == "legacy" {
		return errors.New("a state of the last version")
	}
	*s = OutdatedState(text)
	return nil
}

// Unreadable writes rows that the model cannot hold, and as many as a statement can name:
// the write is done as without the plugin, and the groups get the changes or a resync.
func Unreadable(t *testing.T, e Engine) {
	parameters := map[string]int{"sqlite": 32_766, "postgres": 65_535, "mysql": 65_535}[e.SQL]
	resync := []string{`resync board-{board} {"reason":"unknown"}`}
	updated := []string{`update board-1 {"id":1} state`, `update board-2 {"id":2} state`}
	if e.SQL == "mysql" { // it reads the rows before
		updated = resync
	}
	for mode, config := range modes {
		t.Run(mode, func(t *testing.T) {
			b := e.open(t, config, rohrpost.PluginConfig{})
			require.NoError(t, b.db.AutoMigrate(&Outdated{}))
			for _, test := range []struct {
				name string
				run  func(db *gorm.DB) *gorm.DB
				rows int64
				want []string
			}{
				{"update", func(db *gorm.DB) *gorm.DB { return db.Model(&Outdated{}).Where("id < 3").Update("state", "newer") }, 2, updated},
				{"move", func(db *gorm.DB) *gorm.DB { return db.Model(&Outdated{}).Where("id < 3").Update("board", 9) }, 2, resync},
				{"move by key", func(db *gorm.DB) *gorm.DB { return db.Model(&Outdated{ID: 1}).Update("board", 9) }, 1, resync},
				{"delete", func(db *gorm.DB) *gorm.DB { return db.Where("id < 3").Delete(&Outdated{}) }, 2, resync},
				{"save", func(db *gorm.DB) *gorm.DB { return db.Save(&[]Outdated{{ID: 1, Board: 9}, {ID: 4, Board: 9}}) }, -1, resync},
				{"create", func(db *gorm.DB) *gorm.DB {
					return db.Omit("Board").Create(&Outdated{ID: 4, State: "legacy"})
				}, 1, resync},
				{"many parameters", func(db *gorm.DB) *gorm.DB {
					ids := make([]int, parameters-1)
					for i := range ids {
						ids[i] = i + 2
					}
					return db.Model(&Outdated{}).Where("id IN ?", ids).Update("board", 9)
				}, 2, []string{`delete board-2 {"id":2}`, `create board-9 {"id":2}`, `delete board-2 {"id":3}`, `create board-9 {"id":3}`}},
			} {
				t.Run(test.name, func(t *testing.T) {
					for _, inTransaction := range []bool{false, true} {
						b.seedOutdated(t)
						var result *gorm.DB
						if inTransaction {
							require.NoError(t, b.db.Transaction(func(tx *gorm.DB) error {
								result = test.run(tx)
								return result.Error
							}))
						} else {
							result = test.run(b.db)
						}
						require.NoError(t, result.Error)
						if test.rows >= 0 {
							assert.Equal(t, test.rows, result.RowsAffected)
						}
						assert.Equal(t, test.want, b.take())
						assert.Empty(t, b.logs.String())
					}
				})
			}
		})
	}
}

func (b *bench) seedOutdated(t *testing.T) {
	db := b.withoutNotify()
	for _, statement := range []string{
		"DELETE FROM outdateds",
		"INSERT INTO outdateds (id, board, state) VALUES (1, 1, 'legacy'), (2, 2, 'new'), (3, 2, 'new')",
	} {
		require.NoError(t, db.Exec(statement).Error)
	}
	b.take()
}
