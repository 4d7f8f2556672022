package rohrpost_test

import (
	"testing"

	"github.com/rohrpost/rohrpost"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// coded has a column that the database fills.
type coded struct {
	rohrpost.NotifyOnChange `rohrpost:"payload:title,code"`
	ID                      uint
	Title                   string
	Code                    string `gorm:"default:(lower('ABC'))"`
}

// A program that asks a create for some columns does not get the others.
func TestCreateReturning(t *testing.T) {
	columns := func(names ...string) clause.Returning {
		var returning clause.Returning
		for _, name := range names {
			returning.Columns = append(returning.Columns, clause.Column{Name: name, Raw: name == "*"})
		}
		return returning
	}
	created := `create coded-1 {"id":1,"Title":"a","Code":"abc"}`
	for _, test := range []struct {
		name   string
		clause clause.Returning
		row    coded
		want   string
	}{
		{"all", columns(), coded{Title: "a"}, created},
		{"all, named", columns("*"), coded{Title: "a"}, created},
		{"what the database fills", columns("code", "ID"), coded{Title: "a"}, created},
		{"the key", columns("id"), coded{Title: "a"}, created},
		{"not the key", columns("code"), coded{Title: "a"}, `resync coded-{pk} {"reason":"unknown"}`},
		{"not the key, which is given", columns("title"), coded{ID: 1, Title: "a"}, created},
	} {
		t.Run(test.name, func(t *testing.T) {
			db, rec := openDB(t, gorm.Config{}, &coded{})
			require.NoError(t, db.Clauses(test.clause).Create(&test.row).Error)
			assert.Equal(t, []string{test.want}, rec.take())
		})
	}
}

// A value of another type with the fields of the model is a row of the model.
func TestCreateOtherType(t *testing.T) {
	type (
		plain  ticket
		plainT task
	)
	db, rec := openDB(t, gorm.Config{})
	tickets := func() *gorm.DB { return db.Model(&ticket{}) }
	for _, write := range []struct {
		name string
		run  func() error
		want string
	}{
		{"Create", func() error { return tickets().Create(&plain{BoardID: 3}).Error }, `create board-3 {"board":3,"id":1,"title":""}`},
		{"Create a slice", func() error { return tickets().Create(&[]plain{{BoardID: 4}}).Error }, `create board-4 {"board":4,"id":2,"title":""}`},
		{"upsert", func() error {
			return tickets().Clauses(clause.OnConflict{UpdateAll: true}).Create(&plain{ID: 9, BoardID: 5}).Error
		}, `create board-5 {"board":5,"id":9,"title":""}`},
		{"Updates", func() error { return db.Model(&ticket{ID: 1}).Updates(&plain{Title: "c"}).Error }, `update board-3 {"board":3,"id":1,"title":"c"} title`},
		{"Delete", func() error { return tickets().Delete(&plain{ID: 1}).Error }, `delete board-3 {"board":3,"id":1,"title":"c"}`},
		{"Create, only the key", func() error { return db.Model(&task{}).Create(&plainT{Title: "a"}).Error }, `create task-1 {"id":1}`},
	} {
		require.NoError(t, write.run(), write.name)
		assert.Equal(t, []string{write.want}, rec.take(), write.name)
	}
	assert.Empty(t, rec.logs.String())
}
