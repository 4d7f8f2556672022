package rohrpost_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/rohrpost/rohrpost"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

type tagged struct {
	rohrpost.NotifyOnChange `rohrpost:"group:deep"`
}

type article struct {
	tagged
	rohrpost.NotifyOnDelete `rohrpost:"group:gone-{pk}"`
	ID                      uint
}

func TestGroups(t *testing.T) {
	type project struct {
		rohrpost.NotifyOnChange `rohrpost:"group:project-{project_id}.{slug}"`
		ID                      uint
		ProjectID               *uint
		Slug                    string
	}
	type composite struct {
		rohrpost.NotifyOnChange
		Tenant string `gorm:"primaryKey"`
		Number int64  `gorm:"primaryKey;autoIncrement:false"`
	}
	type blob struct {
		rohrpost.NotifyOnChange
		ID []byte
	}
	type user struct {
		rohrpost.NotifyOnChange
		Email string `gorm:"primaryKey"`
	}
	type typed struct {
		rohrpost.NotifyOnChange `rohrpost:"group:t-{number:int}-{code:uuid}"`
		ID                      uint
		Number                  int
		Code                    string
	}
	type keyless struct {
		rohrpost.NotifyOnChange `rohrpost:"group:all"`
		Name                    string
	}
	seven := uint(7)
	for _, test := range []struct {
		name  string
		value any
		want  string
		none  bool // it is in no group
	}{
		{"columns", &project{ProjectID: &seven, Slug: "x"}, `create project-7.x {"id":1}`, false},
		{"null column", &project{Slug: "x"}, "", true},
		{"text outside of the grammar", &project{ProjectID: &seven, Slug: "a b/Grüße"}, `create project-7.a~20b~2FGr~C3~BC~C3~9Fe {"id":1}`, false},
		{"empty column", &project{ProjectID: &seven}, "", true},
		{"text without UTF-8", &project{ProjectID: &seven, Slug: "\xff"}, "", false},
		{"text that is too long", &project{ProjectID: &seven, Slug: strings.Repeat("é", 40)}, "", false},
		{"typed columns", &typed{Number: -5, Code: "0f8fad5b-d9cb-469f-a165-70867728950e"}, `create t--5-0f8fad5b-d9cb-469f-a165-70867728950e {"id":1}`, false},
		{"a text that is no UUID", &typed{Number: -5, Code: "0F8fad5b-d9cb-469f-a165-70867728950e"}, "", false},
		{"email as key", &user{Email: "user@example.com"}, `create user-user~40example.com {"id":"user@example.com"}`, false},
		{"colon in a key", &composite{Tenant: "a:b", Number: 1}, `create composite-a~3Ab:1 {"id":["a:b",1]}`, false},
		{"composite key", &composite{Tenant: "t", Number: -5}, `create composite-t:-5 {"id":["t",-5]}`, false},
		{"bytes as key", &blob{ID: []byte{0xff, 0xfe, 0xfd}}, `create blob-__79 {"id":"//79"}`, false},
		{"no key", &keyless{}, "", false},
		{"inherited tag", &article{}, `create deep {"id":1}`, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			db, rec := openDB(t, gorm.Config{}, test.value)
			require.NoError(t, db.Create(test.value).Error)
			got := strings.Join(rec.take(), "\n")
			assert.Equal(t, test.want, got)
			if test.want == "" && !test.none {
				assert.EqualValues(t, 1, rec.hub.Stats().Skipped)
			}
		})
	}
	t.Run("a shallower tag wins", func(t *testing.T) {
		db, rec := openDB(t, gorm.Config{}, &article{})
		require.NoError(t, db.Create(&article{}).Error)
		require.NoError(t, db.Delete(&article{ID: 1}).Error)
		assert.Equal(t, []string{`create deep {"id":1}`, `delete gone-1 {"id":1}`}, rec.take())
	})
}

type genericModel[T any] struct {
	rohrpost.NotifyOnChange
	ID    uint
	Value T
}

func (genericModel[T]) TableName() string { return "generics" }

type definedModel task

// Models of every shape are announced by the database's writes too.
func TestShapesOfModels(t *testing.T) {
	type pointerMarker struct {
		*rohrpost.NotifyOnChange
		ID    uint
		Title string
	}
	type Base struct {
		rohrpost.NotifyOnChange
		ID uint
	}
	type fromBase struct {
		Base
		Title string
	}
	for value, want := range map[any]string{
		&genericModel[string]{}: `create genericmodel-1 {"id":1}`,
		&definedModel{}:         `create definedmodel-1 {"id":1}`,
		&pointerMarker{}:        `create pointermarker-1 {"id":1}`,
		&fromBase{}:             `create frombase-1 {"id":1}`,
	} {
		db, rec := openDB(t, gorm.Config{}, value)
		require.NoError(t, db.Create(value).Error)
		require.NoError(t, db.Save(value).Error)
		require.NoError(t, db.Delete(value).Error)
		assert.Equal(t, []string{want, strings.Replace(want, "create", "update", 1), strings.Replace(want, "create", "delete", 1)}, rec.take())
	}
}

func TestBadTagsAreLoggedOnce(t *testing.T) {
	type unknown struct {
		rohrpost.NotifyOnChange `rohrpost:"group:a;colour:red"`
		ID                      uint
	}
	type noColumn struct {
		rohrpost.NotifyOnChange `rohrpost:"group:a-{b}"`
		ID                      uint
	}
	type open struct {
		rohrpost.NotifyOnChange `rohrpost:"group:a-{pk"`
		ID                      uint
	}
	type empty struct {
		rohrpost.NotifyOnChange `rohrpost:"group:"`
		ID                      uint
	}
	type alone struct {
		rohrpost.NotifyOnChange `rohrpost:"preload:Nobody"`
		ID                      uint
	}
	type space struct {
		rohrpost.NotifyOnChange `rohrpost:"group:a {pk}"`
		ID                      uint
	}
	type adjacent struct {
		rohrpost.NotifyOnChange `rohrpost:"group:{b}{pk}"`
		ID, B                   uint
	}
	type größe struct {
		rohrpost.NotifyOnChange
		ID uint
	}
	for want, value := range map[string]any{
		`unknown option \"colour\"`:      &unknown{},
		`no column \"b\"`:                &noColumn{},
		`is not closed`:                  &open{},
		`a group name is missing`:        &empty{},
		`\"a \" can be in no group name`: &space{},
		`need text between them`:         &adjacent{},
		`the type names no group`:        &größe{},
		`no association \"Nobody\"`:      &alone{},
	} {
		db, rec := openDB(t, gorm.Config{})
		require.NoError(t, db.Migrator().CreateTable(value))
		require.NoError(t, db.Create(value).Error)
		require.NoError(t, db.Save(value).Error)
		assert.Empty(t, rec.take())
		assert.Equal(t, 1, strings.Count(rec.logs.String(), want), "%s in %s", want, rec.logs)
	}
}

// step is a task that only a few changes are told of one by one.
type step struct {
	rohrpost.NotifyOnChange `rohrpost:"group:board-{board_id};rows:3"`
	ID                      uint
	BoardID                 uint
	Title                   string `json:"name"`
	Secret                  string `json:"-"`
}

func steps(board uint, count int) []step {
	rows := make([]step, count)
	for i := range rows {
		rows[i].BoardID = board
	}
	return rows
}

// Above rows:N changes of one commit a group gets one resync instead, others are
// not concerned.
func TestRowsOfOneCommit(t *testing.T) {
	eachMode(t, func(t *testing.T, db *gorm.DB, rec *recorder) {
		require.NoError(t, db.AutoMigrate(&step{}))
		few, many := steps(1, 3), steps(2, 4)
		require.NoError(t, db.Create(&few).Error)
		assert.Equal(t, []string{`create board-1 {"id":1}`, `create board-1 {"id":2}`, `create board-1 {"id":3}`}, rec.take())
		require.NoError(t, db.Create(&many).Error)
		assert.Equal(t, []string{`resync board-2 {"reason":"rows"}`}, rec.take(), "one statement")
		called := 0
		require.NoError(t, db.Transaction(func(tx *gorm.DB) error {
			for _, id := range []uint{1, 4, 2, 5, 6, 7} {
				require.NoError(t, tx.Model(&step{ID: id}).Update("title", "x").Error)
			}
			require.NoError(t, rohrpost.AfterCommit(tx, func() { called = len(rec.Published()) }))
			return tx.Model(&step{ID: 3}).Update("title", "x").Error
		}))
		assert.Equal(t, []string{
			`update board-1 {"id":1} title`, `resync board-2 {"reason":"rows"}`, `update board-1 {"id":2} title`, `update board-1 {"id":3} title`,
		}, rec.take(), "one transaction")
		assert.Equal(t, 4, called, "all changes are published before the function runs")
	})
}

type parent struct {
	rohrpost.NotifyOnChange
	ID    uint
	Tasks []child
}

type child struct {
	rohrpost.NotifyOnChange
	ID       uint
	ParentID uint
}

// AfterCreate writes from a hook and from another goroutine.
func (p *parent) AfterCreate(tx *gorm.DB) error {
	var done sync.WaitGroup
	var err error
	done.Go(func() { err = tx.Create(&child{ID: p.ID + 100, ParentID: p.ID}).Error })
	done.Wait()
	return err
}

func TestWithoutNotify(t *testing.T) {
	for name, test := range map[string]struct {
		ctx  context.Context
		want []string
	}{
		"nothing is not announced":           {context.Background(), []string{`create parent-1 {"id":1}`, `create child-1 {"id":1}`, `create child-101 {"id":101}`}},
		"all is not announced":               {rohrpost.WithoutNotify(context.Background()), []string{}},
		"one type is not announced":          {rohrpost.WithoutNotifyFor[child](context.Background()), []string{`create parent-1 {"id":1}`}},
		"one type is not announced, pointer": {rohrpost.WithoutNotifyFor[*parent](context.Background()), []string{`create child-1 {"id":1}`, `create child-101 {"id":101}`}},
		"another type is not announced":      {rohrpost.WithoutNotifyFor[task](context.Background()), []string{`create parent-1 {"id":1}`, `create child-1 {"id":1}`, `create child-101 {"id":101}`}},
	} {
		t.Run(name, func(t *testing.T) {
			db, rec := openDB(t, gorm.Config{}, &parent{}, &child{})
			require.NoError(t, db.WithContext(test.ctx).Transaction(func(tx *gorm.DB) error {
				return tx.Create(&parent{ID: 1, Tasks: []child{{ID: 1}}}).Error
			}))
			assert.Equal(t, test.want, rec.take())
		})
	}
}

// A soft delete field may have a value of its own for "not deleted".
func TestZeroValueOfSoftDelete(t *testing.T) {
	type kept struct {
		rohrpost.NotifyOnChange
		ID        uint
		DeletedAt gorm.DeletedAt `gorm:"zeroValue:1970-01-01 00:00:01;default:'1970-01-01 00:00:01'"`
	}
	db, rec := openDB(t, gorm.Config{}, &kept{})
	require.NoError(t, db.Create(&kept{ID: 1}).Error)
	require.NoError(t, db.Delete(&kept{ID: 1}).Error)
	require.NoError(t, db.Unscoped().Model(&kept{ID: 1}).Update("deleted_at", "1970-01-01 00:00:01").Error)
	require.NoError(t, db.Unscoped().Delete(&kept{ID: 1}).Error)
	assert.Equal(t, []string{`create kept-1 {"id":1}`, `delete kept-1 {"id":1}`, `create kept-1 {"id":1}`, `delete kept-1 {"id":1}`}, rec.take())
}
