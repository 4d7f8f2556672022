package writetest

import (
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rohrpost/rohrpost"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

// Given runs random writes on three databases: without the plugin, with it, and with it
// under a program that changes, before the COMMIT, everything that it gave to the write.
// After a write the first two programs must hold the same, and the last two publish the
// same.
func Given(t *testing.T, e Engine, count int, first uint64) {
	for mode, config := range modes {
		t.Run(mode, func(t *testing.T) {
			config.NowFunc = func() time.Time { return moments[0] }
			bare := &bench{db: e.Open(t, config)}
			with, changing := openGiven(t, e, config), openGiven(t, e, config)
			require.NoError(t, bare.db.AutoMigrate(givenModels...))
			for i := range uint64(count / len(modes)) {
				seed := first + i
				r := rand.New(rand.NewPCG(seed, 0))
				g := gifts[r.IntN(len(gifts))]
				if strings.Contains(g.not, e.SQL) {
					continue
				}
				name := fmt.Sprintf("seed %d: %s", seed, g.name)
				inTransaction := r.IntN(2) == 0
				got, want := with.give(seed, g, inTransaction, nil), bare.give(seed, g, inTransaction, nil)
				require.Equal(t, want, got, name)
				sent := with.take()
				require.NotContains(t, strings.Join(sent, "\n"), spoilt, name)
				changing.give(seed, g, inTransaction, scramble)
				require.Equal(t, sent, changing.take(), name)
			}
			assert.Equal(t, bare.parcels(t), with.parcels(t))
			assert.Equal(t, bare.parcels(t), changing.parcels(t))
			assert.Empty(t, with.logs.String())
		})
	}
}

// gift is a write, which returns what it was given, and what it returned.
type gift struct {
	name string
	run  func(r *rand.Rand, db *gorm.DB) (given []any, result *gorm.DB)
	not  string // the language of an engine that has no such statement
}

var givenModels = []any{&Keeper{}, &Parcel{}, &Packet{}, &Label{}, &Crate{}}

func openGiven(t *testing.T, e Engine, config gorm.Config) *bench {
	b := &bench{hub: rohrpost.NewHub(rohrpost.Config{}), logs: &syncBuilder{}, db: e.Open(t, config)}
	require.NoError(t, b.db.AutoMigrate(givenModels...))
	b.use(t, rohrpost.PluginConfig{})
	return b
}

// give runs a write, and then changes what it was given. It returns what that was meanwhile,
// as text too: a change of what lies behind it does not reach that.
func (b *bench) give(seed uint64, g gift, inTransaction bool, change func(given []any)) (held []any) {
	r := rand.New(rand.NewPCG(seed, 1))
	run := func(db *gorm.DB) error {
		given, result := g.run(r, db)
		held = append(given, result.RowsAffected, result.Error == nil) // its text may name the database
		if change != nil {
			change(given)
		}
		return result.Error
	}
	if inTransaction {
		_ = b.db.Transaction(run)
	} else {
		_ = run(b.db)
	}
	return held
}

// parcels returns the rows of all tables as JSON.
func (b *bench) parcels(t *testing.T) (tables []string) {
	for _, model := range givenModels {
		rows := reflect.New(reflect.SliceOf(reflect.TypeOf(model).Elem())).Interface()
		require.NoError(t, b.db.Unscoped().Order("id").Find(rows).Error)
		text, err := json.Marshal(rows)
		require.NoError(t, err)
		tables = append(tables, string(text))
	}
	return tables
}

// scramble changes everything that values refer to.
func scramble(given []any) {
	for _, value := range given {
		scrambleValue(reflect.ValueOf(value))
	}
}

func scrambleValue(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() && v.Type() != reflect.TypeFor[*gorm.DB]() {
			scrambleValue(v.Elem())
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			scrambleValue(v.Index(i))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			scrambleValue(v.MapIndex(key))
			v.SetMapIndex(key, reflect.Zero(v.Type().Elem()))
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() && v.CanSet() {
			v.Set(reflect.ValueOf(time.Unix(1, 0)))
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				scrambleValue(v.Field(i))
			}
		}
	}
	if !v.CanSet() {
		return
	}
	switch {
	case v.Kind() == reflect.String:
		v.SetString("scrambled")
	case v.CanInt():
		v.SetInt(77)
	case v.CanUint():
		v.SetUint(77)
	}
}

type (
	// Contents has columns of every kind that refers to memory.
	Contents struct {
		Kind    *string `gorm:"size:20"`
		Title   string  `gorm:"size:20"`
		Bytes   []byte  `gorm:"size:20"`
		Due     time.Time
		Seen    *time.Time
		Until   *sql.NullTime
		Nick    *sql.NullString `gorm:"size:20"`
		Words   Words           `gorm:"size:50"`
		More    *Words          `gorm:"size:50"`
		Meta    map[string]any  `gorm:"serializer:json;size:50"`
		Amount  *Decimal
		Size    Size      `gorm:"embedded;embeddedPrefix:size_"`
		Inner   *Size     `gorm:"embedded;embeddedPrefix:inner_"`
		Updated time.Time `gorm:"autoUpdateTime"`
	}

	// Size is part of Contents.
	Size struct {
		Width *int
		Unit  *string `gorm:"size:20"`
		At    *time.Time
	}

	// Parcel is shown by a method.
	Parcel struct {
		rohrpost.NotifyOnChange `rohrpost:"group:parcels-{kind}"`
		ID                      uint
		Contents
		KeeperID *uint
		Keeper   *Keeper `gorm:"constraint:-"`
		Labels   []Label `gorm:"constraint:-"`
		Gone     gorm.DeletedAt
	}

	// Packet is shown by listed columns.
	Packet struct {
		rohrpost.NotifyOnChange `rohrpost:"group:packets;payload:kind,title,bytes,due,seen,until,nick,words,more,amount,size_width,size_at,inner_unit"`
		ID                      uint
		Contents
	}

	// Keeper keeps parcels.
	Keeper struct {
		rohrpost.NotifyOnChange `rohrpost:"group:keepers"`
		ID                      uint
		Name                    *string `gorm:"size:20"`
	}

	// Label belongs to a parcel.
	Label struct {
		rohrpost.NotifyOnChange `rohrpost:"group:labels-{parcel_id}"`
		ID                      uint
		ParcelID                *uint
		Text                    *string `gorm:"size:20"`
	}

	// Crate has a key that refers to memory, and is shown by it.
	Crate struct {
		rohrpost.NotifyOnChange `rohrpost:"group:crate-{pk}"`
		ID                      []byte `gorm:"primaryKey;size:20"`
		Title                   string `gorm:"size:20"`
	}
)

const spoilt = "spoilt by the method"

// PushNotificationData implements rohrpost.PayloadProvider. It spoils what it was given.
func (p *Parcel) PushNotificationData(updatedFields []string, _ string) any {
	text, err := json.Marshal(map[string]any{"id": p.ID, "contents": p.Contents, "keeper": p.KeeperID, "fields": updatedFields})
	for i := range updatedFields {
		updatedFields[i] = spoilt
	}
	if err != nil {
		return err
	}
	return json.RawMessage(text)
}

// Words are kept as JSON.
type Words []string

// Scan implements sql.Scanner.
func (w *Words) Scan(value any) error {
	switch value := value.(type) {
	case nil:
		*w = nil
		return nil
	case string:
		return json.Unmarshal([]byte(value), w)
	}
	return json.Unmarshal(value.([]byte), w)
}

// Value implements driver.Valuer.
func (w Words) Value() (driver.Value, error) {
	text, err := json.Marshal([]string(w))
	return string(text), err
}

// GormDataType implements schema.GormDataTypeInterface.
func (Words) GormDataType() string { return "string" }
