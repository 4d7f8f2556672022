package rohrpost_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// The key in memory is one condition among others: those beside it may let other rows in.
func TestConditionsBesideKey(t *testing.T) {
	first := &task{ID: 1}
	for name, test := range map[string]struct {
		run  func(db *gorm.DB) *gorm.DB
		want []string
	}{
		"Or": {
			func(db *gorm.DB) *gorm.DB {
				return db.Model(first).Where("title = ?", "b").Or("title = ?", "c").Update("done", true)
			},
			[]string{`update task-2 {"id":2} done`},
		},
		"Or before a delete": {
			func(db *gorm.DB) *gorm.DB { return db.Where("title = ?", "b").Or("title = ?", "c").Delete(first) },
			[]string{`delete task-2 {"id":2}`},
		},
		"Or, which keeps the key": {
			func(db *gorm.DB) *gorm.DB {
				return db.Model(first).Where("title = 'b'\nOR\ntitle = 'c'").Updates(map[string]any{"id": 1, "title": "x"})
			},
			nil, // refused: task 1 is there
		},
		"a text that GORM puts no parentheses around": {
			func(db *gorm.DB) *gorm.DB {
				return db.Model(first).Where("title = 'b'\nor(title = 'c')").Update("done", true)
			},
			[]string{`update task-2 {"id":2} done`},
		},
		"such a text in a Not": {
			func(db *gorm.DB) *gorm.DB {
				return db.Model(first).Not("title <> 'b'\tOR\ttitle = 'x'").Update("done", true)
			},
			[]string{`update task-2 {"id":2} done`},
		},
		"a text that ends in a comment": {
			func(db *gorm.DB) *gorm.DB { return db.Model(&task{}).Where("title = 'b' -- x").Update("done", true) },
			[]string{`update task-2 {"id":2} done`},
		},
		"a group of conditions": {
			func(db *gorm.DB) *gorm.DB {
				return db.Model(first).Where(db.Where("title = 'a'").Or("title = 'c'")).Update("done", true)
			},
			[]string{`update task-1 {"id":1} done`},
		},
		"other conditions": {
			func(db *gorm.DB) *gorm.DB {
				return db.Model(first).Where("done = ?", false).Where(map[string]any{"title": "a"}).Update("done", true)
			},
			[]string{`update task-1 {"id":1} done`},
		},
		"a SET of the program, to which GORM adds no key": {
			func(db *gorm.DB) *gorm.DB {
				set := clause.Set{{Column: clause.Column{Name: "done"}, Value: true}}
				return db.Model(first).Clauses(set).Where("title > ?", "a").Updates(map[string]any{})
			},
			[]string{`update task-2 {"id":2} done`, `update task-3 {"id":3} done`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachMode(t, func(t *testing.T, db *gorm.DB, rec *recorder) {
				require.NoError(t, db.Create(&[]task{{Title: "a"}, {Title: "b"}, {Title: "c"}}).Error)
				rec.take()
				err := test.run(db).Error
				assert.Equal(t, test.want == nil, err != nil, err)
				assert.ElementsMatch(t, test.want, rec.take())
			})
		})
	}
}

// The automatic time of an update is named only where the program sets it.
func TestNamesOfAutomaticColumns(t *testing.T) {
	now := time.Now()
	eachMode(t, func(t *testing.T, db *gorm.DB, rec *recorder) {
		require.NoError(t, db.Create(&task{Title: "a"}).Error)
		rec.take()
		row := func() *gorm.DB { return db.Model(&task{ID: 1}) }
		for _, step := range []struct {
			run  func() *gorm.DB
			want string
		}{
			{func() *gorm.DB { return row().Updates(task{Title: "b", UpdatedAt: now}) }, "title"}, // GORM sets another time
			{func() *gorm.DB { return row().UpdateColumns(task{Title: "c", UpdatedAt: now}) }, "title,updated_at"},
			{func() *gorm.DB { return row().Updates(map[string]any{"title": "d"}) }, "title"},
			{func() *gorm.DB { return row().Updates(map[string]any{"UpdatedAt": now}) }, "updated_at"},
			{func() *gorm.DB { return row().Updates(&map[string]any{"updated_at": now}) }, "updated_at"},
			{func() *gorm.DB { return row().Updates(&map[string]any{"title": "e"}) }, "title"},
			{func() *gorm.DB { return row().Update("updated_at", now) }, "updated_at"},
		} {
			require.NoError(t, step.run().Error)
			assert.Equal(t, []string{`update task-1 {"id":1} ` + step.want}, rec.take())
		}
	})
}
