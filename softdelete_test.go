package rohrpost_test

import (
	"strings"
	"testing"
	"time"

	"github.com/rohrpost/rohrpost"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"
)

// signed is a soft delete that sets a flag, and who it was.
type signed int

func (signed) DeleteClauses(f *schema.Field) []clause.Interface {
	return []clause.Interface{settingClause{
		{Column: clause.Column{Name: f.DBName}, Value: 1}, {Column: clause.Column{Name: "deleted_by"}, Value: "me"},
	}}
}

// active is a soft delete that clears a flag.
type active int

func (active) DeleteClauses(f *schema.Field) []clause.Interface {
	return []clause.Interface{settingClause{{Column: clause.Column{Name: f.DBName}, Value: 0}}}
}

// settingClause turns a DELETE into an UPDATE, as GORM's own soft delete does.
type settingClause clause.Set

func (settingClause) Name() string               { return "" }
func (settingClause) Build(clause.Builder)       {}
func (settingClause) MergeClause(*clause.Clause) {}

func (c settingClause) ModifyStatement(stmt *gorm.Statement) {
	if stmt.SQL.Len() != 0 || stmt.Unscoped {
		return
	}
	stmt.AddClause(clause.Set(c))
	_, keys := schema.GetIdentityFieldValuesMap(stmt.Context, stmt.ReflectValue, stmt.Schema.PrimaryFields)
	if column, values := schema.ToQueryValues(stmt.Table, stmt.Schema.PrimaryFieldDBNames, keys); len(values) > 0 {
		stmt.AddClause(clause.Where{Exprs: []clause.Expression{clause.IN{Column: column, Values: values}}})
	}
	stmt.AddClauseIfNotExists(clause.Update{})
	stmt.Build(stmt.DB.Callback().Update().Clauses...)
}

type (
	signedRow struct {
		rohrpost.NotifyOnChange `rohrpost:"group:signed"`
		ID                      uint
		DeletedBy               string
		IsDel                   signed
	}
	activeRow struct {
		rohrpost.NotifyOnChange `rohrpost:"group:active"`
		ID                      uint
		Active                  active
	}
	timedRow struct {
		rohrpost.NotifyOnChange `rohrpost:"group:timed"`
		ID                      uint
		DeletedAt               gorm.DeletedAt
	}
)

func (r signedRow) PushNotificationData([]string, string) any { return "by " + r.DeletedBy }

func TestKindsOfSoftDelete(t *testing.T) {
	db, rec := openDB(t, gorm.Config{}, &signedRow{}, &activeRow{}, &timedRow{})
	for _, step := range []struct {
		name string
		run  func() error
		want string
	}{
		{"a second column", func() error { return db.Create(&signedRow{DeletedBy: "nobody"}).Error }, `create signed "by nobody"`},
		{"told as it was before", func() error { return db.Delete(&signedRow{ID: 1}).Error }, `delete signed "by nobody"`},
		{"a flag that is set while a row is live", func() error { return db.Create(&activeRow{Active: 1}).Error }, `create active {"id":1}`},
		{"cleared", func() error { return db.Delete(&activeRow{ID: 1}).Error }, `delete active {"id":1}`},
		{"set again", func() error { return db.Model(&activeRow{ID: 1}).Update("active", 1).Error }, `create active {"id":1}`},
		{"cleared by hand", func() error { return db.Model(&activeRow{ID: 1}).Update("active", 0).Error }, `delete active {"id":1}`},
		{"created without it", func() error { return db.Create(&activeRow{}).Error }, ``},
		{"a time", func() error { return db.Create(&timedRow{}).Error }, `create timed {"id":1}`},
		{"the zero time, which is not null", func() error { return db.Model(&timedRow{ID: 1}).Update("deleted_at", time.Time{}).Error }, `delete timed {"id":1}`},
	} {
		require.NoError(t, step.run(), step.name)
		assert.Equal(t, step.want, strings.Join(rec.take(), "; "), step.name)
	}
	assert.Empty(t, rec.logs.String())
}
