package integration

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/internal/writetest"
	"github.com/rohrpost/rohrpost/rohrposttest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// paper is grouped by a column, and seen whole by a method.
type paper struct {
	rohrpost.NotifyOnChange `rohrpost:"group:board-{board}"`
	ID                      int64
	Board                   int64
	Title                   string
	Secret                  string
}

// PushNotificationData implements rohrpost.PayloadProvider.
func (p paper) PushNotificationData([]string, string) any {
	return map[string]any{"id": p.ID, "title": p.Title, "secret": p.Secret}
}

// TestColumnPrivileges writes as a role that may read only some columns: its writes are done,
// and what it may not read is empty, or a resync where a group depends on it.
func TestColumnPrivileges(t *testing.T) {
	type sheaf struct {
		rohrpost.NotifyOnChange `rohrpost:"group:board-{board}"`
		ID                      int64
		Board                   int64
		Title                   string
	}
	type folio struct { // which nobody but the owner may update, nor lock
		rohrpost.NotifyOnChange `rohrpost:"group:board-{board}"`
		ID                      int64
		Board                   int64
	}
	owner := openPostgres(t, gorm.Config{})
	require.NoError(t, owner.AutoMigrate(&paper{}, &sheaf{}, &folio{}))
	require.NoError(t, owner.Create(&[]folio{{ID: 1, Board: 1}, {ID: 2, Board: 1}}).Error)
	require.NoError(t, owner.Create(&[]paper{{ID: 1, Board: 1, Title: "a", Secret: "s"}, {ID: 2, Board: 2, Title: "b", Secret: "s"}}).Error)
	require.NoError(t, owner.Create(&[]sheaf{{ID: 1, Board: 1}}).Error)
	var schema, database string
	require.NoError(t, owner.Raw("SELECT current_schema()").Scan(&schema).Error)
	require.NoError(t, owner.Raw("SELECT current_database()").Scan(&database).Error)
	role := nextName()
	for _, statement := range []string{
		"CREATE ROLE " + role + " LOGIN",
		"GRANT USAGE ON SCHEMA " + schema + " TO " + role,
		"GRANT SELECT (id, board, title), INSERT, UPDATE, DELETE ON papers TO " + role,
		"GRANT SELECT (id, title), INSERT, UPDATE, DELETE ON sheafs TO " + role,
		"GRANT SELECT, INSERT, DELETE ON folios TO " + role,
		"GRANT USAGE ON ALL SEQUENCES IN SCHEMA " + schema + " TO " + role,
	} {
		require.NoError(t, owner.Exec(statement).Error)
	}
	t.Cleanup(func() {
		assert.NoError(t, owner.Exec("DROP OWNED BY "+role).Error)
		assert.NoError(t, owner.Exec("DROP ROLE "+role).Error)
	})
	db := writetest.Connect(t, postgres.Open(strings.Replace(postgresDSN, "user=postgres", "user="+role, 1)+" dbname="+database+" search_path="+schema), gorm.Config{})
	require.NoError(t, db.Use(rohrpost.Plugin(rohrpost.NewHub(rohrpost.Config{}))))
	rec := rohrposttest.Record(t, db)
	resync := `resync board-{board} {"reason":"unknown"}`
	for _, step := range []struct {
		name string
		run  func(tx *gorm.DB) error
		want string
	}{
		{"update by key", func(tx *gorm.DB) error { return tx.Model(&paper{ID: 1}).Update("title", "x").Error }, `update board-1 {"id":1,"secret":"","title":"x"}`},
		{"what may not be read", func(tx *gorm.DB) error { return tx.Model(&paper{ID: 1}).Update("secret", "y").Error }, `update board-1 {"id":1,"secret":"","title":"x"}`},
		{"move", func(tx *gorm.DB) error { return tx.Model(&paper{}).Where("board = ?", 2).Update("board", 3).Error }, `delete board-2 {"id":2,"secret":"","title":"b"}; create board-3 {"id":2,"secret":"","title":"b"}`},
		{"create", func(tx *gorm.DB) error { return tx.Create(&paper{ID: 7, Board: 1, Secret: "z"}).Error }, `create board-1 {"id":7,"secret":"","title":""}`},
		{"delete", func(tx *gorm.DB) error { return tx.Delete(&paper{ID: 1}).Error }, `delete board-1 {"id":1,"secret":"","title":"x"}`},
		{"the group may not be read: update", func(tx *gorm.DB) error { return tx.Model(&sheaf{ID: 1}).Update("title", "x").Error }, resync},
		{"the group may not be read: create", func(tx *gorm.DB) error { return tx.Create(&sheaf{ID: 8, Board: 1}).Error }, resync},
		{"the group may not be read: delete", func(tx *gorm.DB) error { return tx.Delete(&sheaf{ID: 1}).Error }, resync},
		{"rows may not be locked: create", func(tx *gorm.DB) error { return tx.Create(&folio{ID: 8, Board: 1}).Error }, `create board-1 {"id":8}`},
		{"rows may not be locked: upsert", func(tx *gorm.DB) error {
			return tx.Clauses(clause.OnConflict{DoNothing: true}).Create(&folio{ID: 9, Board: 1}).Error
		}, resync},
		{"rows may not be locked: delete", func(tx *gorm.DB) error { return tx.Delete(&folio{ID: 1}).Error }, `delete board-1 {"id":1}`},
		{"rows may not be locked: delete with the caller's RETURNING", func(tx *gorm.DB) error {
			return tx.Clauses(clause.Returning{}).Delete(&folio{ID: 2}).Error
		}, resync},
	} {
		require.NoError(t, db.Transaction(step.run), step.name)
		var lines []string
		for _, c := range rec.Published() {
			lines = append(lines, fmt.Sprintf("%s %s %s", c.Type, c.Group, c.Object.(json.RawMessage)))
		}
		rec.Reset()
		assert.Equal(t, step.want, strings.Join(lines, "; "), step.name)
	}
}

// TestCursor updates the row of a cursor, which no SELECT can meet: the update is done, and a
// resync sent.
func TestCursor(t *testing.T) {
	db := openPostgres(t, gorm.Config{})
	require.NoError(t, db.AutoMigrate(&paper{}))
	require.NoError(t, db.Create(&[]paper{{ID: 1, Board: 1}, {ID: 2, Board: 1}}).Error)
	require.NoError(t, db.Use(rohrpost.Plugin(rohrpost.NewHub(rohrpost.Config{}))))
	rec := rohrposttest.Record(t, db)
	require.NoError(t, db.Transaction(func(tx *gorm.DB) error {
		require.NoError(t, tx.Exec("DECLARE c CURSOR FOR SELECT * FROM papers WHERE id = 2 FOR UPDATE").Error)
		require.NoError(t, tx.Exec("MOVE c").Error)
		result := tx.Model(&paper{}).Where("CURRENT OF c").Update("board", 9)
		assert.EqualValues(t, 1, result.RowsAffected)
		return result.Error
	}))
	require.Len(t, rec.Published(), 1)
	assert.Equal(t, rohrpost.Resync, rec.Published()[0].Type)
}
