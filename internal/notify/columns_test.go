package notify

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rohrpost/rohrpost/internal/capture"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/schema"
)

func newModelOf(t *testing.T, value any) (*model, error) {
	s, err := schema.Parse(value, &sync.Map{}, schema.NamingStrategy{})
	require.NoError(t, err)
	return newModel(capture.NewTable(nil, s), Config{Markers: markers})
}

type (
	grade  string
	letter string
	Inlaid struct {
		Inner  string `json:"inner"`
		Number *int
	}
	spelled struct {
		OnChange   `rohrpost:"group:all;payload:text,html,whole,small,truth,part,moment,maybe,none,data,raw,quoted,quoted_text,quoted_null,grade,letter,null,deleted_at,inner,number"`
		ID         uint
		Text       string `json:"text,omitempty"`
		HTML       string
		Whole      int64   `json:"whole"`
		Small      uint8   `json:",omitempty"`
		Truth      bool    `json:"truth,omitzero"`
		Part       float64 `json:"part"`
		Moment     time.Time
		Maybe      *time.Time
		None       *string `json:",omitempty"`
		Data       []byte
		Raw        json.RawMessage `gorm:"type:json"`
		Quoted     int             `json:",string"`
		QuotedText string          `json:",string"`
		QuotedNull *int            `json:",string"`
		Grade      grade
		Letter     letter
		Null       sql.NullString
		DeletedAt  gorm.DeletedAt
		*Inlaid
	}
)

func (g grade) MarshalText() ([]byte, error) { return []byte("grade " + string(g)), nil }

func (l *letter) MarshalJSON() ([]byte, error) { return json.Marshal([]string{string(*l)}) }

// whole is spelled without the options that leave fields out.
func whole(t *testing.T, row any) string {
	fields := []reflect.StructField{}
	values := []reflect.Value{}
	var add func(v reflect.Value)
	add = func(v reflect.Value) {
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if f.Anonymous && f.Type.Kind() == reflect.Pointer {
				add(v.Field(i).Elem())
				continue
			}
			if f.Anonymous {
				continue
			}
			f.Tag = reflect.StructTag(strings.NewReplacer(",omitempty", "", ",omitzero", "").Replace(string(f.Tag)))
			if f.Name == "ID" {
				f.Tag = `json:"id"`
			}
			f.PkgPath, f.Index, f.Offset = "", nil, 0
			fields, values = append(fields, f), append(values, v.Field(i))
		}
	}
	add(reflect.ValueOf(row).Elem())
	shown := reflect.New(reflect.StructOf(fields)).Elem()
	for i, v := range values {
		shown.Field(i).Set(v)
	}
	text, err := json.Marshal(shown.Addr().Interface())
	require.NoError(t, err)
	return string(text)
}

// A listed column is encoded as encoding/json encodes its field, but never left out.
func TestListedColumnsInJSON(t *testing.T) {
	moment := time.Date(2026, 1, 2, 3, 4, 5, 6_000_000, time.FixedZone("", 3600))
	number := 7
	for name, row := range map[string]*spelled{
		"zero": {Inlaid: &Inlaid{}},
		"full": {
			ID: 1, Text: "ä\u2028\"", HTML: "<b>&", Whole: math.MinInt64, Small: 255, Truth: true, Part: 1e21, Moment: moment, Maybe: &moment, None: new(string),
			Data: []byte{1, 2}, Raw: json.RawMessage(`{"a": 1}`), Quoted: -5, QuotedText: `a"b`, QuotedNull: &number, Grade: "A", Letter: "x",
			Null: sql.NullString{String: "n", Valid: true}, DeletedAt: gorm.DeletedAt{Time: moment, Valid: true}, Inlaid: &Inlaid{"in", &number},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := newModelOf(t, row)
			require.NoError(t, err)
			value := reflect.ValueOf(row).Elem()
			object, err := m.payload.object(capture.Create, nil, fmt.Sprint(row.ID), value)
			require.NoError(t, err)
			assert.Equal(t, whole(t, row), string(object.JSON()))
			object, err = m.payload.object(capture.Delete, nil, "7", value)
			require.NoError(t, err)
			assert.Equal(t, `{"id":7}`, string(object.JSON()))
			object, err = m.payload.object(capture.Update, []string{"truth", "number", "other"}, "7", value)
			require.NoError(t, err)
			assert.Equal(t, fmt.Sprintf(`{"id":7,"truth":%v,"Number":%s}`, row.Truth, map[string]string{"zero": "null", "full": "7"}[name]), string(object.JSON()))
		})
	}
	row := &spelled{Part: math.NaN(), Inlaid: &Inlaid{}}
	m, err := newModelOf(t, row)
	require.NoError(t, err)
	_, err = m.payload.object(capture.Create, nil, "7", reflect.ValueOf(row).Elem())
	require.ErrorContains(t, err, "column part: ")
	row = &spelled{}
	object, err := m.payload.object(capture.Update, []string{"inner", "number"}, "7", reflect.ValueOf(row).Elem())
	require.NoError(t, err)
	assert.Equal(t, `{"id":7,"inner":"","Number":null}`, string(object.JSON()), "behind a nil pointer")
}

func TestWrongPayloads(t *testing.T) {
	type (
		unknown struct {
			OnChange `rohrpost:"payload:nothing"`
			ID       uint
		}
		empty struct {
			OnChange `rohrpost:"payload:"`
			ID       uint
		}
		secret struct {
			OnChange `rohrpost:"payload:token"`
			ID       uint
			Token    string `gorm:"->:false;<-"`
		}
		hidden struct {
			OnChange `rohrpost:"payload:token"`
			ID       uint
			Token    string `json:"-"`
		}
		twice struct {
			OnChange `rohrpost:"payload:a,b"`
			ID       uint
			A        string `json:"B"`
			B        string
		}
		key struct {
			OnChange `rohrpost:"payload:id"`
			ID       uint `json:"id"`
		}
		field struct {
			OnChange `rohrpost:"payload:a;fields:b"`
			ID       uint
			A, B     string
		}
		always struct {
			OnChange `rohrpost:"payload:a;always_send:true"`
			ID       uint
			A        string
		}
		preload struct {
			OnChange `rohrpost:"payload:a;preload:Other"`
			ID       uint
			A        string
			Other    columnModel `gorm:"foreignKey:ID"`
		}
		different struct {
			OnCreate `rohrpost:"payload:a,b"`
			OnUpdate `rohrpost:"payload:b"`
			ID       uint
			A, B     string
		}
		keyless struct {
			OnChange `rohrpost:"group:logs;payload:text"`
			Text     string
		}
	)
	for want, value := range map[string]any{
		`the model has no column "nothing"`:               &unknown{},
		"a column is missing":                             &empty{},
		`the column "token" is never read`:                &secret{},
		`the field of the column "token" has the tag`:     &hidden{},
		`two columns are called "B" in JSON`:              &twice{},
		`the column "id" is called "id" in JSON`:          &key{},
		`the column "b" is not among those of payload`:    &field{},
		"option always_send":                              &always{},
		"option preload":                                  &preload{},
		"the markers of the model list different columns": &different{},
		"the table has no primary key: the model needs":   &keyless{},
	} {
		_, err := newModelOf(t, value)
		assert.ErrorContains(t, err, want)
	}
}

type withMethod struct {
	OnChange `rohrpost:"payload:a"`
	ID       uint
	A        string
}

func (withMethod) PushNotificationData([]string, string) any { return nil }

// A method wins over the tag. Else only the listed columns and those of the group matter.
func TestReads(t *testing.T) {
	type listed struct {
		OnChange `rohrpost:"group:of-{b};payload:a,c"`
		ID       uint
		A, B, C  string
	}
	assert.Equal(t, []string{"a", "c", "b"}, modelOf(t, &listed{}).Reads()[:3])
	assert.Empty(t, modelOf(t, &plainModel{}).Reads())
	assert.NotNil(t, modelOf(t, &plainModel{}).Reads())
	m := modelOf(t, &withMethod{})
	assert.Nil(t, m.Reads())
	assert.Nil(t, m.payload)
}
