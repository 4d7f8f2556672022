package writetest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/rohrpost/rohrpost"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Altering changes a table while the program runs: its writes succeed and fail as they
// do without the plugin, and what they do is announced, or a resync.
func Altering(t *testing.T, e Engine) {
	for mode, config := range modes {
		t.Run(mode, func(t *testing.T) {
			config.SkipDefaultTransaction = true // with a default transaction see inTransaction
			t.Run("outside a transaction", func(t *testing.T) {
				altering(t, e, config, func(db *gorm.DB, f func(*gorm.DB) error) error { return f(db) })
			})
			t.Run("in a transaction", func(t *testing.T) {
				altering(t, e, config, func(db *gorm.DB, f func(*gorm.DB) error) error { return db.Transaction(f) })
			})
		})
	}
}

func altering(t *testing.T, e Engine, config gorm.Config, within func(*gorm.DB, func(*gorm.DB) error) error) {
	b := &bench{hub: rohrpost.NewHub(rohrpost.Config{}), logs: &syncBuilder{}, db: e.Open(t, config)}
	b.use(t, rohrpost.PluginConfig{})
	for _, statement := range contact(e) {
		require.NoError(t, b.db.Exec(statement).Error)
	}
	require.NoError(t, b.withoutNotify().Create(&Contact{ID: 1, Email: "a", BoardID: 1, Title: "k"}).Error)
	pool, err := b.db.DB()
	require.NoError(t, err)
	n := 0
	write := func(title string) error {
		n++
		return within(b.db, func(db *gorm.DB) error {
			return errors.Join(
				db.Model(&Contact{}).Where("email = ?", "a").Update("title", title).Error,
				db.Create(&Contact{ID: uint(100 + n), Email: title, BoardID: 2}).Error,
				db.Where("email = ?", title).Delete(&Contact{}).Error,
			)
		})
	}
	announced := func(title string) []string {
		object := fmt.Sprintf(`{"email":%q,"id":%d,"title":""}`, title, 100+n)
		return []string{fmt.Sprintf(`update board-1 {"email":"a","id":1,"title":%q} title`, title), "create board-2 " + object, "delete board-2 " + object}
	}
	for _, title := range []string{"x", "y", "z"} { // until every layer has prepared it
		require.NoError(t, write(title))
		assert.Equal(t, announced(title), b.take())
	}
	for _, statement := range alterations[e.SQL] {
		_, err := pool.ExecContext(context.Background(), statement)
		require.NoError(t, err, statement)
		for range 2 {
			title := fmt.Sprint("title ", n)
			require.NoError(t, write(title), statement)
			assert.Equal(t, announced(title), b.take(), statement)
		}
	}
}

// alterations leave the columns of the model there.
var alterations = map[string][]string{
	"sqlite": {"ALTER TABLE contacts ADD COLUMN more TEXT"},
	"postgres": {
		"ALTER TABLE contacts ADD COLUMN more TEXT", "ALTER TABLE contacts ALTER COLUMN title TYPE VARCHAR(80)", "ALTER TABLE contacts ALTER COLUMN title TYPE TEXT",
		"ALTER TABLE contacts ALTER COLUMN board_id TYPE BIGINT", "ALTER TABLE contacts DROP COLUMN more",
	},
	"mysql": {"ALTER TABLE contacts ADD COLUMN more TEXT", "ALTER TABLE contacts MODIFY title VARCHAR(80)", "ALTER TABLE contacts MODIFY board_id BIGINT"},
}

// Indexing makes a unique index by GORM while the program runs.
func Indexing(t *testing.T, e Engine) {
	b := &bench{hub: rohrpost.NewHub(rohrpost.Config{}), logs: &syncBuilder{}, db: e.Open(t, gorm.Config{})}
	b.use(t, rohrpost.PluginConfig{})
	for _, statement := range tablesOf("CREATE TABLE contacts (id SERIAL, email VARCHAR(50), board_id INT, title VARCHAR(50))")(e) {
		require.NoError(t, b.db.Exec(statement).Error)
	}
	upsert := func() error {
		return b.db.Clauses(clause.OnConflict{DoNothing: true}).Create(&Contact{Email: "a", BoardID: 1}).Error
	}
	require.NoError(t, upsert())
	assert.Len(t, b.take(), 1)
	require.NoError(t, b.db.Exec("CREATE UNIQUE INDEX by_email ON contacts (email)").Error)
	require.NoError(t, upsert())
	assert.Empty(t, b.take())
}

// Dropping drops a column that the model has. A write that does not name it succeeds
// outside a transaction, with a resync, and from then on fails and succeeds as without
// the plugin.
func Dropping(t *testing.T, e Engine) {
	for mode, config := range modes {
		for _, alteration := range []string{"ALTER TABLE contacts DROP COLUMN title", "ALTER TABLE contacts RENAME COLUMN title TO name"} {
			t.Run(mode+"/"+alteration, func(t *testing.T) {
				b := &bench{hub: rohrpost.NewHub(rohrpost.Config{}), logs: &syncBuilder{}, db: e.Open(t, config)}
				b.use(t, rohrpost.PluginConfig{})
				for _, statement := range contact(e) {
					require.NoError(t, b.db.Exec(statement).Error)
				}
				require.NoError(t, b.withoutNotify().Create(&[]Contact{{ID: 1, Email: "a", BoardID: 1}, {ID: 2, Email: "b", BoardID: 1}}).Error)
				update := func(db *gorm.DB, id uint, email string) error {
					return db.Model(&Contact{ID: id}).Update("email", email).Error
				}
				for _, email := range []string{"x", "y", "z"} {
					require.NoError(t, update(b.db, 1, email))
				}
				b.take()
				pool, err := b.db.DB()
				require.NoError(t, err)
				_, err = pool.ExecContext(context.Background(), alteration)
				require.NoError(t, err)

				err = update(b.db, 1, "c")
				if e.SQL == "postgres" && !config.SkipDefaultTransaction {
					require.Error(t, err, "it is inside GORM's own transaction")
				} else {
					require.NoError(t, err)
					assert.Equal(t, []string{`resync board-{board_id} {"reason":"unknown"}`}, b.take())
				}
				for _, email := range []string{"d", "e"} {
					require.NoError(t, update(b.db, 1, email))
					assert.Equal(t, []string{`update board-1 {"email":"` + email + `","id":1,"title":""} email`}, b.take())
				}
				require.NoError(t, b.db.Where("email = ?", "e").Delete(&Contact{}).Error)
				assert.Equal(t, []string{`delete board-1 {"email":"e","id":1,"title":""}`}, b.take())
			})
		}
	}
}
