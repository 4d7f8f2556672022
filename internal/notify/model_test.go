package notify

import (
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
		OnUpdate `rohrpost:"group:{a}{pk}.{a}-x"`
		ID       uint
		A        string
	}
)

func (methodModel) GroupName(string) string { return "" }

func modelOf(t *testing.T, value any) *model {
	s, err := schema.Parse(value, &sync.Map{}, schema.NamingStrategy{})
	require.NoError(t, err)
	m, err := newModel(capture.NewTable(s), Config{Markers: markers})
	require.NoError(t, err)
	return m
}

func TestPatternsOfModels(t *testing.T) {
	for want, value := range map[string]any{
		"plainmodel-{pk}": &plainModel{}, wire.AnyGroup: &methodModel{}, "board-{1}": &columnModel{}, "new {0}.{3}-x": &twoMarkers{},
		"box-{pk}": &box[int]{},
	} {
		patterns := modelOf(t, value).patterns()
		assert.Equal(t, want, strings.Join(patterns, " "))
		for _, pattern := range patterns {
			assert.NoError(t, (&wire.Change{Group: pattern, Type: wire.Resync}).Check())
		}
	}
}
