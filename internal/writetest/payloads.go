package writetest

import (
	"errors"
	"testing"

	"github.com/rohrpost/rohrpost"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

type (
	// Writer writes comments and reviews.
	Writer struct {
		ID   uint
		Name string `gorm:"size:50"`
	}

	// Comment reads its object in the transaction.
	Comment struct {
		rohrpost.NotifyOnChange `rohrpost:"group:comments"`
		ID                      uint
		WriterID                uint
		Text                    string `gorm:"size:50"`
	}

	// Review has its writer loaded, who names its group.
	Review struct {
		rohrpost.NotifyOnChange `rohrpost:"preload:Writer"`
		ID                      uint
		WriterID                uint
		Writer                  *Writer `gorm:"constraint:-"`
		Text                    string  `gorm:"size:50"`
	}
)

// PushNotificationDataTx implements rohrpost.PayloadProviderTx.
func (c *Comment) PushNotificationDataTx(tx *gorm.DB, q rohrpost.PayloadQuery) (any, error) {
	switch c.Text {
	case "fails":
		return nil, tx.Exec("SELECT nothing FROM nowhere").Error
	case "fails in silence":
		tx.Exec("SELECT nothing FROM nowhere")
	case "panics":
		panic("no object today")
	case "has no object":
		return nil, errors.New("no object")
	}
	var writer Writer
	if err := tx.Take(&writer, c.WriterID).Error; err != nil {
		return nil, err
	}
	var count int64
	err := tx.Model(&Comment{}).Count(&count).Error
	return map[string]any{"count": count, "writer": writer.Name, "fields": q.UpdatedFields, "type": q.Type}, err
}

// GroupName implements rohrpost.GroupNamer.
func (r Review) GroupName(string) string { return "writer-" + r.Writer.Name }

// PushNotificationData implements rohrpost.PayloadProvider.
func (r Review) PushNotificationData([]string, string) any {
	return map[string]any{"id": r.ID, "writer": r.Writer.Name}
}

// Payloads reads objects in the transaction of the write, which may hold the only
// connection. A failure of that ends no transaction.
func Payloads(t *testing.T, e Engine) {
	for mode, config := range modes {
		t.Run(mode, func(t *testing.T) {
			b := e.open(t, config, rohrpost.PluginConfig{})
			require.NoError(t, b.db.AutoMigrate(&Writer{}, &Comment{}, &Review{}))
			require.NoError(t, b.db.Create(&[]Writer{{ID: 1, Name: "ann"}, {ID: 2, Name: "bob"}}).Error)
			pool, err := b.db.DB()
			require.NoError(t, err)
			pool.SetMaxOpenConns(1)

			require.NoError(t, b.db.Create(&[]Comment{{ID: 1, WriterID: 1}, {ID: 2, WriterID: 2}}).Error)
			require.NoError(t, b.db.Model(&Comment{}).Where("id = 1").Update("text", "x").Error)
			require.NoError(t, b.db.Transaction(func(tx *gorm.DB) error {
				require.NoError(t, tx.Model(&Writer{ID: 2}).Update("name", "bea").Error)
				return tx.Delete(&Comment{ID: 2}).Error
			}))
			assert.Equal(t, []string{
				`create comments {"count":2,"fields":null,"type":"create","writer":"ann"}`,
				`create comments {"count":2,"fields":null,"type":"create","writer":"bob"}`,
				`update comments {"count":2,"fields":["text"],"type":"update","writer":"ann"} text`,
				`delete comments {"count":1,"fields":null,"type":"delete","writer":"bea"}`,
			}, b.take())

			for _, text := range []string{"fails", "panics", "has no object"} {
				require.NoError(t, b.db.Transaction(func(tx *gorm.DB) error {
					require.NoError(t, tx.Create(&Comment{ID: 3, WriterID: 1, Text: text}).Error)
					return tx.Model(&Comment{}).Where("id = 3").Update("text", "fine").Error
				}), text)
				assert.Equal(t, []string{
					`resync comments {"reason":"unknown"}`, `update comments {"count":2,"fields":["text"],"type":"update","writer":"ann"} text`,
				}, b.take(), text)
				require.NoError(t, b.withoutNotify().Delete(&Comment{ID: 3}).Error)
			}
			assert.EqualValues(t, 3, b.hub.Stats().Skipped)
			require.NoError(t, b.db.Create(&Comment{ID: 3, Text: "fails in silence"}).Error)
			assert.Equal(t, []string{`resync comments {"reason":"unknown"}`}, b.take())

			own := Review{ID: 1, WriterID: 1}
			require.NoError(t, b.db.Create(&own).Error)
			assert.Nil(t, own.Writer, "the caller's struct is his own")
			require.NoError(t, b.db.Model(&Review{ID: 1}).Update("writer_id", 2).Error)
			require.NoError(t, b.db.Delete(&Review{ID: 1}).Error)
			assert.Equal(t, []string{
				`create writer-ann {"id":1,"writer":"ann"}`, `delete writer-ann {"id":1,"writer":"ann"}`,
				`create writer-bea {"id":1,"writer":"bea"}`, `delete writer-bea {"id":1,"writer":"bea"}`,
			}, b.take())
			require.NoError(t, b.withoutNotify().Migrator().DropTable("writers"))
			require.NoError(t, b.db.Transaction(func(tx *gorm.DB) error {
				require.NoError(t, tx.Create(&Review{ID: 2, WriterID: 1}).Error)
				return tx.Create(&Task{ID: 1}).Error
			}))
			assert.Equal(t, []string{`resync {any} {"reason":"unknown"}`, `create task-1 {"id":1}`}, b.take())
		})
	}
}
