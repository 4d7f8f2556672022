package notify

import (
	"database/sql"
	"strings"
	"sync"
	"testing"

	"github.com/rohrpost/rohrpost/internal/capture"
	"github.com/rohrpost/rohrpost/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm/schema"
)

type (
	plainModel struct {
		OnChange
		ID uint
	}
	methodModel struct {
		OnChange
		ID uint
	}
	columnModel struct {
		OnChange `rohrpost:"group:board-{board_id}"`
		ID       uint
		BoardID  uint
	}
	twoMarkers struct {
		OnCreate `rohrpost:"group:new"`
		OnUpdate `rohrpost:"group:{a}.{pk:int}-x"`
		ID       uint
		A        string
	}
)

func (methodModel) GroupName(string) string { return "" }

func modelOf(t *testing.T, value any) *model {
	s, err := schema.Parse(value, &sync.Map{}, schema.NamingStrategy{})
	require.NoError(t, err)
	m, err := newModel(capture.NewTable(nil, s), Config{Markers: markers})
	require.NoError(t, err)
	return m
}

func TestPatternsOfModels(t *testing.T) {
	for want, value := range map[string]any{
		"plainmodel-{pk}": &plainModel{}, wire.AnyGroup: &methodModel{}, "board-{board_id}": &columnModel{}, "new {a}.{pk:int}-x": &twoMarkers{},
		"box-{pk}": &box[int]{},
	} {
		patterns := modelOf(t, value).patterns()
		assert.Equal(t, want, strings.Join(patterns, " "))
		for _, pattern := range patterns {
			assert.NoError(t, (&wire.Change{Group: pattern, Type: wire.Resync}).Check())
		}
	}
}

// A placeholder stands for a column that has one spelling and is read.
func TestPlaceholders(t *testing.T) {
	type truth struct {
		OnChange `rohrpost:"group:done-{done}"`
		ID       uint
		Done     bool
	}
	type number struct {
		OnChange `rohrpost:"group:at-{weight}"`
		ID       uint
		Weight   *float64
	}
	type nullTruth struct {
		OnChange `rohrpost:"group:done-{done}"`
		ID       uint
		Done     sql.NullBool
	}
	type secret struct {
		OnChange `rohrpost:"group:of-{token}"`
		ID       uint
		Token    string `gorm:"->:false;<-"`
	}
	type cell struct {
		OnChange `rohrpost:"group:{pk}:{c}"`
		A, B     uint `gorm:"primaryKey"`
		C        uint
	}
	type numbers struct {
		OnChange `rohrpost:"group:{pk:int}"`
		A, B     uint `gorm:"primaryKey"`
	}
	for want, value := range map[string]any{
		`{pk} stands for 2 columns, joined by ":"`: &cell{}, `it is no integer`: &numbers{},
		`column "done" is a bool`: &truth{}, `column "weight" is a float`: &number{}, `"done" is a bool`: &nullTruth{}, `"token" is never read`: &secret{},
	} {
		s, err := schema.Parse(value, &sync.Map{}, schema.NamingStrategy{})
		require.NoError(t, err)
		_, err = newModel(capture.NewTable(nil, s), Config{Markers: markers})
		assert.ErrorContains(t, err, want)
	}
}
