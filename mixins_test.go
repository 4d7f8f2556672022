package rohrpost

import (
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

type (
	byValue    struct{ NotifyOnChange }
	byPointer  struct{ *NotifyOnChange }
	base       struct{ NotifyOnCreate }
	Other      struct{ NotifyOnDelete }
	throughOne struct{ base }
	throughTwo struct {
		*base
		Other
	}
	twice struct {
		base
		NotifyOnChange
	}
	box[T any] struct {
		NotifyOnUpdate
		Value T
	}
	defined  byValue
	alias    = byValue
	named    struct{ Marker NotifyOnChange }
	embedded struct {
		Marker base `gorm:"embedded"`
	}
	Recursive struct {
		*Recursive
		NotifyOnUpdate
	}
	unmarked struct{ gorm.Model }
)

func TestMarks(t *testing.T) {
	for _, test := range []struct {
		name  string
		value any
		want  string
	}{
		{"by value", byValue{}, "create update delete"},
		{"by pointer", byPointer{}, "create update delete"},
		{"through a base", throughOne{}, "create"},
		{"through two bases, one by pointer", throughTwo{}, "create delete"},
		{"the same marker twice", twice{}, "create update delete"},
		{"generic", box[int]{}, "update"},
		{"defined type", defined{}, "create update delete"},
		{"alias", alias{}, "create update delete"},
		{"a named field is no marker", named{}, ""},
		{"an embedded tag is no marker", embedded{}, ""},
		{"a type that embeds itself", Recursive{}, "update"},
		{"unmarked", unmarked{}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for op, tag := range marks(reflect.TypeOf(test.value)) {
				if tag != nil {
					got = append(got, writes[op])
				}
			}
			assert.Equal(t, test.want, strings.Join(got, " "))
		})
	}
}

type tagged struct {
	NotifyOnChange `rohrpost:"group:deep"`
}

type article struct {
	tagged
	NotifyOnDelete `rohrpost:"group:gone-{pk}"`
	ID             uint
}

func TestGroups(t *testing.T) {
	type project struct {
		NotifyOnChange `rohrpost:"group:project-{project_id}.{slug}"`
		ID             uint
		ProjectID      *uint
		Slug           string
	}
	type composite struct {
		NotifyOnChange
		Tenant string `gorm:"primaryKey"`
		Number int64  `gorm:"primaryKey;autoIncrement:false"`
	}
	type blob struct {
		NotifyOnChange
		ID []byte
	}
	type keyless struct {
		NotifyOnChange `rohrpost:"group:all"`
		Name           string
	}
	seven := uint(7)
	for _, test := range []struct {
		name  string
		value any
		want  string
	}{
		{"columns", &project{ProjectID: &seven, Slug: "x"}, `create project-7.x {"id":1}`},
		{"null column", &project{Slug: "x"}, ""},
		{"text that does not fit", &project{ProjectID: &seven, Slug: "a b"}, ""},
		{"composite key", &composite{Tenant: "t", Number: -5}, `create composite-t:-5 {"id":["t",-5]}`},
		{"bytes as key", &blob{ID: []byte{0xff, 0xfe, 0xfd}}, `create blob-__79 {"id":"__79"}`},
		{"no key", &keyless{}, ""},
		{"inherited tag", &article{}, `create deep {"id":1}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			db, rec := openDB(t, gorm.Config{}, test.value)
			require.NoError(t, db.Create(test.value).Error)
			got := strings.Join(rec.take(), "\n")
			assert.Equal(t, test.want, got)
			if test.want == "" {
				assert.EqualValues(t, 1, rec.counters.skipped.Load())
			}
		})
	}
	t.Run("a shallower tag wins", func(t *testing.T) {
		db, rec := openDB(t, gorm.Config{}, &article{})
		require.NoError(t, db.Create(&article{}).Error)
		require.NoError(t, db.Delete(&article{ID: 1}).Error)
		assert.Equal(t, []string{`create deep {"id":1}`, `delete gone-1 {"id":1}`}, rec.take())
	})
	t.Run("type name without parameters", func(t *testing.T) {
		assert.Equal(t, "box", typeName(reflect.TypeFor[box[int]]()))
	})
}

type genericModel[T any] struct {
	NotifyOnChange
	ID    uint
	Value T
}

func (genericModel[T]) TableName() string { return "generics" }

type definedModel task

// Models of every shape are announced by the database's writes too.
func TestShapesOfModels(t *testing.T) {
	type pointerMarker struct {
		*NotifyOnChange
		ID    uint
		Title string
	}
	type Base struct {
		NotifyOnChange
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
		NotifyOnChange `rohrpost:"group:a;colour:red"`
		ID             uint
	}
	type noColumn struct {
		NotifyOnChange `rohrpost:"group:a-{b}"`
		ID             uint
	}
	type open struct {
		NotifyOnChange `rohrpost:"group:a-{pk"`
		ID             uint
	}
	type empty struct {
		NotifyOnChange `rohrpost:"group:"`
		ID             uint
	}
	type space struct {
		NotifyOnChange `rohrpost:"group:a {pk}"`
		ID             uint
	}
	for want, value := range map[string]any{
		`unknown option \"colour\"`:      &unknown{},
		`no column \"b\"`:                &noColumn{},
		`is not closed`:                  &open{},
		`a group name is missing`:        &empty{},
		`does not fit into a group name`: &space{},
	} {
		db, rec := openDB(t, gorm.Config{})
		require.NoError(t, db.Migrator().CreateTable(value))
		require.NoError(t, db.Create(value).Error)
		require.NoError(t, db.Save(value).Error)
		assert.Empty(t, rec.take())
		assert.Equal(t, 1, strings.Count(rec.logs.String(), want), "%s in %s", want, rec.logs)
	}
}
