package integration

import (
	"database/sql"
	"testing"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"
	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/internal/writetest"
	"github.com/rohrpost/rohrpost/rohrposttest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// TestDeadlockInOwnRead lets a real deadlock end a transaction in a read of the plugin. The
// server has then rolled everything back: a caller who is not told would run the rest
// outside of a transaction, and lose the beginning.
func TestDeadlockInOwnRead(t *testing.T) {
	for _, e := range engines[2:] {
		for name, test := range map[string]struct {
			isolation sql.IsolationLevel
			write     func(tx *gorm.DB) error
		}{
			"rows before an update": {sql.LevelRepeatableRead, func(tx *gorm.DB) error {
				return tx.Model(&sheet{}).Where("id = ?", 2).Update("board", 9).Error
			}},
			"rows before an upsert": {sql.LevelSerializable, func(tx *gorm.DB) error {
				return tx.Clauses(clause.OnConflict{UpdateAll: true}).Create(&sheet{ID: 2, Board: 9}).Error
			}},
		} {
			for _, ignored := range []bool{false, true} {
				t.Run(e.Name+"/"+name+map[bool]string{true: ", ignored"}[ignored], func(t *testing.T) {
					testDeadlock(t, e, test.isolation, test.write, ignored)
				})
			}
		}
	}
}

func testDeadlock(t *testing.T, e writetest.Engine, isolation sql.IsolationLevel, write func(*gorm.DB) error, ignored bool) {
	db := e.Open(t, gorm.Config{})
	require.NoError(t, db.AutoMigrate(&sheet{}))
	require.NoError(t, db.Use(rohrpost.Plugin(rohrpost.NewHub(rohrpost.Config{}))))
	seedSheets(t, db)
	rec := rohrposttest.Record(t, db)
	pool, err := db.DB()
	require.NoError(t, err)
	other, err := pool.Begin()
	require.NoError(t, err)
	defer func() { _ = other.Rollback() }()
	for id := range 50 { // the server ends the transaction that has written less
		_, err := other.Exec("INSERT INTO sheets (id, board) VALUES (?, 1)", 100+id)
		require.NoError(t, err)
	}
	_, err = other.Exec("UPDATE sheets SET title = 'other' WHERE id = 2")
	require.NoError(t, err)

	var told error
	blocked := make(chan error, 1)
	err = db.Transaction(func(tx *gorm.DB) error {
		require.NoError(t, tx.Model(&sheet{ID: 5}).Update("title", "lost").Error)
		require.NoError(t, tx.Exec("UPDATE sheets SET title = 'mine' WHERE id = 1").Error)
		go func() {
			_, err := other.Exec("UPDATE sheets SET title = 'other' WHERE id = 1")
			blocked <- err
		}()
		waitForLock(t, db)
		if told = write(tx); ignored {
			return nil
		}
		return told
	}, &sql.TxOptions{Isolation: isolation})
	var deadlock *mysqldriver.MySQLError
	require.ErrorAs(t, told, &deadlock)
	assert.EqualValues(t, 1213, deadlock.Number)
	assert.Equal(t, ignored, err == nil)
	require.NoError(t, <-blocked)
	require.NoError(t, other.Rollback())

	var title string
	require.NoError(t, db.Model(&sheet{}).Where("id = ?", 5).Pluck("title", &title).Error)
	assert.Equal(t, "e", title)
	if ignored {
		rec.AssertSent(t, "board-1", rohrpost.Resync)
		assert.Len(t, rec.Published(), 1, "%s", rec.Published())
	} else {
		assert.Empty(t, rec.Published())
	}
}

// waitForLock waits until a transaction waits for a lock.
func waitForLock(t *testing.T, db *gorm.DB) {
	var waiting int64
	for until := time.Now().Add(10 * time.Second); waiting == 0 && time.Now().Before(until); {
		time.Sleep(150 * time.Millisecond) // the server looks again only when nobody has asked for 100 ms
		require.NoError(t, db.Session(&gorm.Session{NewDB: true}).Raw(
			"SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT' AND trx_query LIKE '%other%id = 1'",
		).Scan(&waiting).Error)
	}
	require.NotZero(t, waiting, "no transaction waits for a lock")
}
