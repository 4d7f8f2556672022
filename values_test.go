package rohrpost_test

import (
	"context"
	"database/sql/driver"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/rohrpost/rohrpost"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm/schema"
)

// lowered writes another text than it has in memory.
type lowered string

func (l lowered) Value() (driver.Value, error) { return strings.ToLower(string(l)), nil }

// loweredKey does so too, and says what it reads.
type loweredKey string

func (l loweredKey) Value() (driver.Value, error) { return strings.ToLower(string(l)), nil }

func (l *loweredKey) Scan(value any) error {
	*l = loweredKey(fmt.Sprintf("%s", value))
	return nil
}

// doubled is a number that is written otherwise.
type doubled int64

func (d doubled) Value() (driver.Value, error) { return int64(2 * d), nil }

func (d *doubled) Scan(value any) error {
	*d = doubled(value.(int64))
	return nil
}

// raising is a serializer that changes what it gets.
type raising struct{}

func (raising) Scan(ctx context.Context, field *schema.Field, dst reflect.Value, value any) error {
	return field.Set(ctx, dst, fmt.Sprint(value))
}

func (raising) Value(_ context.Context, _ *schema.Field, _ reflect.Value, value any) (any, error) {
	return strings.ToUpper(fmt.Sprint(value)), nil
}

func init() { schema.RegisterSerializer("raising", raising{}) }

type (
	letterOf struct {
		rohrpost.NotifyOnChange `rohrpost:"group:mail-{email};payload:email"`
		ID                      uint
		Email                   lowered
	}
	letterIn struct {
		rohrpost.NotifyOnChange `rohrpost:"group:letters;payload:email,name"`
		ID                      uint
		Email                   lowered
		Name                    string `gorm:"serializer:raising"`
	}
	reader struct {
		rohrpost.NotifyOnChange
		Email loweredKey `gorm:"primaryKey"`
		Text  string
	}
	counter struct {
		rohrpost.NotifyOnChange
		ID   doubled `gorm:"primaryKey;autoIncrement:false"`
		Text string
	}
)

// A message tells what the table keeps, not what the type has written it from.
func TestValuesThatTypesWriteOtherwise(t *testing.T) {
	db, rec := openDB(t, modes["plain"], &letterOf{}, &letterIn{}, &reader{}, &counter{})
	for _, step := range []struct {
		name string
		run  func() error
		want string
	}{
		{"in a group", func() error { return db.Create(&letterOf{Email: "BOB"}).Error }, `create mail-bob {"id":1,"Email":"bob"}`},
		{"into another group", func() error { return db.Model(&letterOf{ID: 1}).Update("email", lowered("Al")).Error }, `delete mail-bob {"id":1}; create mail-al {"id":1,"Email":"al"}`},
		{"in a create", func() error { return db.Create(&letterIn{Email: "BOB", Name: "bob"}).Error }, `create letters {"id":1,"Email":"bob","Name":"BOB"}`},
		{"in an update", func() error { return db.Model(&letterIn{ID: 1}).Update("email", lowered("B")).Error }, `update letters {"id":1,"Email":"b"} email partial`},
		{"by a serializer", func() error { return db.Model(&letterIn{ID: 1}).Updates(&letterIn{Name: "al"}).Error }, `update letters {"id":1,"Name":"AL"} name partial`},
		{"a key", func() error { return db.Create(&reader{Email: "BOB"}).Error }, `create reader-bob {"id":"bob"}`},
		{"an update by key", func() error { return db.Model(&reader{Email: "BOB"}).Update("text", "x").Error }, `update reader-bob {"id":"bob"} text`},
		{"a delete by key", func() error { return db.Delete(&reader{Email: "BOB"}).Error }, `delete reader-bob {"id":"bob"}`},
		{"a number", func() error { return db.Create(&counter{ID: 2}).Error }, `create counter-4 {"id":4}`},
		{"an update by number", func() error { return db.Model(&counter{ID: 2}).Update("text", "x").Error }, `update counter-4 {"id":4} text`},
		{"a delete by number", func() error { return db.Delete(&counter{ID: 2}).Error }, `delete counter-4 {"id":4}`},
	} {
		require.NoError(t, step.run(), step.name)
		assert.Equal(t, step.want, strings.Join(rec.take(), "; "), step.name)
	}
	assert.Empty(t, rec.logs.String())
}
