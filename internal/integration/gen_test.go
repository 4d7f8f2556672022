package integration

import (
	"testing"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/rohrposttest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gen"
	"gorm.io/gen/field"
	"gorm.io/gorm"
)

// TestGen writes by a data access object as gorm.io/gen generates it.
func TestGen(t *testing.T) {
	db := openSQLite(t, gorm.Config{})
	require.NoError(t, db.AutoMigrate(&card{}))
	require.NoError(t, db.Use(rohrpost.Plugin(rohrpost.NewHub(rohrpost.Config{}))))
	rec := rohrposttest.Record(t, db)
	dao := func(tx *gorm.DB) *gen.DO {
		var do gen.DO
		do.UseDB(tx)
		do.UseModel(&card{})
		return &do
	}
	id, title := field.NewUint("cards", "id"), field.NewString("cards", "title")
	require.NoError(t, db.Transaction(func(tx *gorm.DB) error {
		require.NoError(t, dao(tx).Create(&[]*card{{ID: 1}, {ID: 2}}))
		_, err := dao(tx).Where(id.Eq(1)).Update(title, "x")
		require.NoError(t, err)
		assert.Empty(t, rec.Published())
		return nil
	}))
	_, err := dao(db).Where(id.Gt(1)).UpdateSimple(title.Value("y"))
	require.NoError(t, err)
	require.NoError(t, dao(db).Save(&card{ID: 2, Title: "z"}))
	_, err = dao(db).Where(id.Gt(0)).Delete()
	require.NoError(t, err)
	var got []string
	for _, change := range rec.Published() {
		got = append(got, change.Type)
	}
	assert.Equal(t, []string{"create", "create", "update", "update", "update", "delete", "delete"}, got)
}
