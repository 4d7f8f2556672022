package rohrpost_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/rohrpost/rohrpost"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"
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

// slot is in a group that does not name its key.
type slot struct {
	rohrpost.NotifyOnChange `rohrpost:"group:board-{board_id}"`
	ID                      uint
	BoardID                 uint
	Email                   string  `gorm:"unique"`
	Text                    *string `gorm:"not null"`
}

// strict is a row that meets others only by its key.
type strict struct {
	rohrpost.NotifyOnChange `rohrpost:"group:board-{board_id}"`
	ID                      uint
	BoardID                 uint
	Text                    *string `gorm:"not null"`
}

// link is a row of a join table: nothing but its key.
type link struct {
	rohrpost.NotifyOnChange
	A, B uint `gorm:"primaryKey;autoIncrement:false"`
}

// removal is a model of which only deletes are announced.
type removal struct {
	rohrpost.NotifyOnDelete
	ID   uint
	Text string
}

// lasting has a column whose type makes creates leave rows alone that are there.
type lasting struct {
	rohrpost.NotifyOnChange
	ID   uint `gorm:"primaryKey;autoIncrement:false"`
	Mark mark
}

type mark string

func (mark) CreateClauses(*schema.Field) []clause.Interface { return []clause.Interface{leaving{}} }

type leaving struct{}

func (leaving) Name() string               { return "" }
func (leaving) Build(clause.Builder)       {}
func (leaving) MergeClause(*clause.Clause) {}
func (leaving) ModifyStatement(stmt *gorm.Statement) {
	stmt.AddClause(clause.OnConflict{DoNothing: true})
}

// A create may meet rows in other ways than by an ON CONFLICT that it has from the start.
func TestCreateMeets(t *testing.T) {
	modified := func(db *gorm.DB, modifier string) *gorm.DB { return db.Clauses(clause.Insert{Modifier: modifier}) }
	text := func(s string) *string { return &s }
	email := []clause.Column{{Name: "email"}}
	resync := `resync board-{board_id} {"reason":"unknown"}`
	for _, test := range []struct {
		name string
		run  func(db *gorm.DB) error
		want []string
	}{
		{"OR IGNORE", func(db *gorm.DB) error {
			return modified(db, "or ignore").Create(&[]link{{A: 1, B: 1}, {A: 2, B: 2}}).Error
		}, []string{`create link-2:2 {"id":[2,2]}`}},
		{"OR IGNORE, an element that is no row", func(db *gorm.DB) error {
			return modified(db, "OR IGNORE").Create(&[]slot{{ID: 5, BoardID: 5, Email: "e", Text: text("")}, {ID: 6, BoardID: 6, Email: "f"}}).Error
		}, []string{`create board-5 {"id":5}`}},
		{"OR IGNORE, an element that meets nothing and is no row", func(db *gorm.DB) error {
			return modified(db, "OR IGNORE").Create(&[]strict{{BoardID: 5, Text: text("")}, {BoardID: 6}}).Error
		}, []string{resync}},
		{"OR IGNORE, elements that meet nothing", func(db *gorm.DB) error {
			return modified(db, "OR IGNORE").Create(&[]strict{{BoardID: 5, Text: text("")}, {BoardID: 6, Text: text("")}}).Error
		}, []string{`create board-5 {"id":1}`, `create board-6 {"id":2}`}},
		{"OR IGNORE beside ON CONFLICT", func(db *gorm.DB) error {
			return modified(db, "OR IGNORE").Clauses(clause.OnConflict{UpdateAll: true}).
				Create(&[]slot{{ID: 1, BoardID: 2, Email: "a", Text: text("")}, {ID: 5, BoardID: 5, Email: "a", Text: text("")}}).Error
		}, []string{`delete board-1 {"id":1}`, `create board-2 {"id":1}`}},
		{"OR ABORT", func(db *gorm.DB) error { return modified(db, "OR ABORT").Create(&link{A: 3, B: 3}).Error }, []string{`create link-3:3 {"id":[3,3]}`}},
		{"OR REPLACE, by key", func(db *gorm.DB) error {
			return modified(db, "OR REPLACE").Create(&slot{ID: 1, BoardID: 2, Email: "z", Text: text("")}).Error
		}, []string{`delete board-1 {"id":1}`, `create board-2 {"id":1}`}},
		{"OR REPLACE, several rows", func(db *gorm.DB) error {
			return modified(db, "OR REPLACE").Create(&slot{ID: 1, BoardID: 1, Email: "b", Text: text("")}).Error
		}, []string{`update board-1 {"id":1}`, `delete board-1 {"id":2}`}},
		{"OR REPLACE, by another index", func(db *gorm.DB) error {
			return modified(db, "OR REPLACE").Create(&slot{BoardID: 3, Email: "a", Text: text("")}).Error
		}, []string{`delete board-1 {"id":1}`, `create board-3 {"id":3}`}},
		{"OR REPLACE, only deletes", func(db *gorm.DB) error {
			return errors.Join(db.Exec("CREATE UNIQUE INDEX texts ON removals (text)").Error,
				modified(db, "OR REPLACE").Create(&removal{ID: 2, Text: "a"}).Error)
		}, []string{`delete removal-1 {"id":1}`}},
		{"clauses of a field's type", func(db *gorm.DB) error { return db.Create(&[]lasting{{ID: 1}, {ID: 2}}).Error }, []string{`create lasting-2 {"id":2}`}},
		{"clauses of a field's type, Unscoped", func(db *gorm.DB) error { return db.Unscoped().Create(&lasting{ID: 2}).Error }, []string{`create lasting-2 {"id":2}`}},
		{"nothing to update", func(db *gorm.DB) error {
			return db.Clauses(clause.OnConflict{UpdateAll: true}).Create(&[]link{{A: 1, B: 1}, {A: 2, B: 2}}).Error
		}, []string{`create link-2:2 {"id":[2,2]}`}},
		{"the key set", func(db *gorm.DB) error {
			return db.Clauses(clause.OnConflict{Columns: email, DoUpdates: clause.AssignmentColumns([]string{"id", "text"})}).
				Create(&[]slot{{ID: 50, BoardID: 1, Email: "a", Text: text("")}, {ID: 51, BoardID: 1, Email: "c", Text: text("")}}).Error
		}, []string{`delete board-1 {"id":1}`, `create board-1 {"id":50}`, `create board-1 {"id":51}`}},
		{"the key set to what it is", func(db *gorm.DB) error {
			return db.Clauses(clause.OnConflict{Columns: email, DoUpdates: clause.Assignments(map[string]any{"id": gorm.Expr("slots.id"), "text": "n"})}).
				Create(&slot{BoardID: 1, Email: "a", Text: text("")}).Error
		}, []string{`update board-1 {"id":1} id,text`}},
		{"the key set to something", func(db *gorm.DB) error {
			return db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, DoUpdates: clause.Assignments(map[string]any{"id": 60})}).
				Create(&slot{ID: 1, BoardID: 1, Email: "z", Text: text("")}).Error
		}, []string{`delete board-1 {"id":1}`, resync}},
	} {
		for _, inTx := range []bool{true, false} {
			t.Run(fmt.Sprint(test.name, " ", inTx), func(t *testing.T) {
				db, rec := openDB(t, gorm.Config{SkipDefaultTransaction: !inTx}, &slot{}, &link{}, &removal{}, &lasting{}, &strict{})
				require.NoError(t, db.Create(&[]slot{{BoardID: 1, Email: "a", Text: text("")}, {BoardID: 1, Email: "b", Text: text("")}}).Error)
				require.NoError(t, db.Create(&link{A: 1, B: 1}).Error)
				require.NoError(t, db.Create(&removal{Text: "a"}).Error)
				require.NoError(t, db.Create(&lasting{ID: 1}).Error)
				rec.take()
				require.NoError(t, test.run(db))
				assert.Equal(t, test.want, rec.take())
				assert.Empty(t, rec.logs.String())
			})
		}
	}
}
