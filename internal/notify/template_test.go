package notify

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/rohrpost/rohrpost/internal/capture"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm/schema"
)

// A template makes the names that rohrpost.FormatGroup makes.
func TestTemplatesMakeTheNamesOfTheTable(t *testing.T) {
	var table struct {
		Formatted, Refused []struct {
			Pattern, Name, Why string
			Params             map[string]string
		}
	}
	text, err := os.ReadFile("../../testdata/group_names.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &table))
	for _, row := range table.Formatted {
		name, err := nameOf(t, row.Pattern, row.Params)
		require.NoError(t, err, row.Pattern)
		assert.Equal(t, row.Name, name)
	}
	for _, row := range table.Refused {
		name, err := nameOf(t, row.Pattern, row.Params)
		if strings.Contains(row.Why, "empty") {
			assert.NoError(t, err)
			assert.Empty(t, name, "the row is in no group")
		} else if !strings.Contains(row.Why, "missing") && !strings.Contains(row.Why, "no placeholder") {
			assert.True(t, err != nil || len(name) > 200, "%s %v: %s", row.Pattern, row.Params, row.Why)
		}
	}
}

// nameOf fills a template from a row with text columns.
func nameOf(t *testing.T, pattern string, params map[string]string) (string, error) {
	fields := []reflect.StructField{{Name: "Key", Type: reflect.TypeFor[uint](), Tag: `gorm:"primaryKey;column:the key"`}}
	for name := range params {
		fields = append(fields, reflect.StructField{
			Name: "F" + name, Type: reflect.TypeFor[string](), Tag: reflect.StructTag(`gorm:"column:` + name + `"`),
		})
	}
	row := reflect.New(reflect.StructOf(fields)).Elem()
	for name, value := range params {
		row.FieldByName("F" + name).SetString(value)
	}
	s, err := schema.Parse(row.Addr().Interface(), &sync.Map{}, schema.NamingStrategy{})
	require.NoError(t, err)
	var g groupTemplate
	if err := g.parse(pattern, capture.NewTable(nil, s)); err != nil {
		return "", err
	}
	return g.name(t.Context(), capture.Key{}, row)
}
