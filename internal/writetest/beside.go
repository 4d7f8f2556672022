package writetest

import (
	"testing"

	"github.com/rohrpost/rohrpost"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

// Beside runs the plugin beside another one, which writes just before each write: in
// plain SQL, to a marked model and in a nested transaction.
func Beside(t *testing.T, e Engine) {
	for mode, config := range modes {
		t.Run(mode, func(t *testing.T) {
			b := e.open(t, config, rohrpost.PluginConfig{})
			require.NoError(t, b.db.Exec("CREATE TABLE audits (text VARCHAR(50))").Error)
			auditing := b.audit(t)
			for _, c := range []struct {
				run  func(db *gorm.DB) error
				want string
			}{
				{func(db *gorm.DB) error { return db.Create(&Ticket{ID: 1, BoardID: 1, Title: "k"}).Error }, `create board-1 {"board":1,"id":1,"title":"k"}`},
				{func(db *gorm.DB) error {
					return db.Model(&Ticket{}).Where("board_id = ?", 1).Update("title", "l").Error
				}, `update board-1 {"board":1,"id":1,"title":"l"} title`},
				{func(db *gorm.DB) error { return db.Where("board_id = ?", 1).Delete(&Ticket{}).Error }, `delete board-1 {"board":1,"id":1,"title":"l"}`},
			} {
				for _, fails := range []bool{true, false} {
					err := b.db.Transaction(func(tx *gorm.DB) error {
						*auditing = true
						defer func() { *auditing = false }()
						if err := c.run(tx); err != nil {
							return err
						}
						if fails {
							return errWanted
						}
						return nil
					})
					if fails {
						require.ErrorIs(t, err, errWanted)
						assert.Empty(t, b.take())
						continue
					}
					require.NoError(t, err)
					got := b.take()
					require.Len(t, got, 3)
					assert.Contains(t, got[0], "create task-")
					assert.Contains(t, got[1], "create task-")
					assert.Equal(t, c.want, got[2])
				}
			}
			var count int64
			require.NoError(t, b.db.Table("audits").Count(&count).Error)
			assert.EqualValues(t, 3, count)
			assert.Empty(t, b.logs.String())
		})
	}
}

// audit registers the other plugin, which writes while the result is true.
func (b *bench) audit(tb testing.TB) *bool {
	on := false
	write := func(db *gorm.DB) {
		if !on {
			return
		}
		on = false
		defer func() { on = true }()
		session := db.Session(&gorm.Session{NewDB: true})
		_ = db.AddError(session.Exec("INSERT INTO audits (text) VALUES ('x')").Error)
		_ = db.AddError(session.Create(&Task{Title: "audit"}).Error)
		_ = db.AddError(session.Transaction(func(tx *gorm.DB) error { return tx.Create(&Task{Title: "audit, nested"}).Error }))
	}
	callbacks := b.db.Callback()
	require.NoError(tb, callbacks.Create().Before("gorm:create").Register("audit", write))
	require.NoError(tb, callbacks.Update().Before("gorm:update").Register("audit", write))
	require.NoError(tb, callbacks.Delete().Before("gorm:delete").Register("audit", write))
	return &on
}
