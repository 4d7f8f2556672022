package capture_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	"github.com/rohrpost/rohrpost/internal/capture"
	"github.com/rohrpost/rohrpost/internal/sqlitetest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

// item has no marker: the consumer alone decides what it wants to know.
type item struct {
	ID    uint
	Place uint
	Title string
}

// listing is a consumer that writes down what it is told.
type listing struct {
	detail capture.Detail
	before bool
	lines  []string
}

func (l *listing) Interest(*capture.Table) (capture.Interest, error) { return l, nil }

func (l *listing) Wants(context.Context, capture.Operation) capture.Detail { return l.detail }

func (l *listing) WantsUpdate([]string) (capture.Detail, bool) { return l.detail, l.before }

func (l *listing) Reads() []string { return nil }

func (l *listing) Rereads() capture.Reread { return capture.RereadLossy }

func (l *listing) Begin(context.Context, capture.Store) capture.Transaction {
	return &listed{listing: l}
}

func (l *listing) Missed(_ *capture.Table, _ capture.Operation, err error) {
	l.lines = append(l.lines, err.Error())
}

func (l *listing) take() (lines []string) {
	lines, l.lines = l.lines, nil
	return lines
}

type listed struct {
	listing *listing
	lines   []string
}

func (l *listed) Captured(s *capture.Statement) {
	line := fmt.Sprint(s.Operation, " ", s.Table.Name, s.Named)
	for _, row := range s.Rows {
		line += " " + row.Key.Text() + ":"
		if row.Before.IsValid() {
			line += row.Before.Interface().(item).Title
		}
		if row.After.IsValid() {
			line += ">" + row.After.Interface().(item).Title
		}
	}
	if s.Unknown != nil {
		line += " " + s.Unknown.Error()
	}
	l.lines = append(l.lines, line)
}

func (l *listed) Overflowed() bool { return len(l.lines) > 3 }

func (l *listed) Mark() int { return len(l.lines) }

func (l *listed) RollBackTo(mark int) { l.lines = l.lines[:mark] }

func (l *listed) Finish(bool) {}

func (l *listed) Store(context.Context, gorm.ConnPool, bool) error { return nil }

func (l *listed) End(o capture.Outcome) {
	if o == capture.Committed {
		l.listing.lines = append(l.listing.lines, l.lines...)
	}
}

func open(t *testing.T, l *listing, config gorm.Config) *gorm.DB {
	db := sqlitetest.Open(t, config)
	require.NoError(t, db.AutoMigrate(&item{}))
	require.NoError(t, db.Use(capture.New(l, slog.New(slog.DiscardHandler))))
	return db
}

func TestDetail(t *testing.T) {
	for _, test := range []struct {
		detail capture.Detail
		before bool
		want   []string
	}{
		{capture.Nothing, false, nil},
		{capture.Written, false, []string{"create item[]", "update item[]", "delete item[]"}},
		{capture.Keys, false, []string{"create item[] 1:>a 2:>b", "update item[title] 1: 2:", "delete item[] 1: 2:"}},
		{capture.Columns, false, []string{"create item[] 1:>a 2:>b", "update item[title] 1:>c 2:>c", "delete item[] 1:c 2:c"}},
		{capture.Keys, true, []string{"create item[] 1:>a 2:>b", "update item[title] 1:a>c 2:b>c", "delete item[] 1: 2:"}},
	} {
		t.Run(fmt.Sprint(test.detail, test.before), func(t *testing.T) {
			l := &listing{detail: test.detail, before: test.before}
			db := open(t, l, gorm.Config{})
			require.NoError(t, db.Create(&[]item{{Title: "a"}, {Title: "b"}}).Error)
			require.NoError(t, db.Model(&item{}).Where("id > 0").Update("title", "c").Error)
			require.NoError(t, db.Where("id > 0").Delete(&item{}).Error)
			assert.Equal(t, test.want, l.take())
		})
	}
}

// Savepoints reach the database as text, by any of the ways that text can take.
func TestSavepointsByAnyWay(t *testing.T) {
	for name, run := range map[string]func(tx *gorm.DB, text string) error{
		"Exec": func(tx *gorm.DB, text string) error { return tx.Exec(text).Error },
		"Scan": func(tx *gorm.DB, text string) error { return tx.Raw(text).Scan(&[]item{}).Error },
		"Find": func(tx *gorm.DB, text string) error { return tx.Raw(text).Find(&[]item{}).Error },
		"Rows": func(tx *gorm.DB, text string) error {
			rows, err := tx.Raw(text).Rows()
			if err == nil {
				rows.Next()
				err = rows.Close()
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := &listing{detail: capture.Keys}
			db := open(t, l, gorm.Config{})
			require.NoError(t, db.Transaction(func(tx *gorm.DB) error {
				require.NoError(t, tx.Create(&item{ID: 1}).Error)
				require.NoError(t, run(tx, "SAVEPOINT a"))
				require.NoError(t, tx.Create(&item{ID: 2}).Error)
				require.NoError(t, run(tx, "ROLLBACK TO a"))
				return tx.Create(&item{ID: 3}).Error
			}))
			assert.Equal(t, []string{"create item[] 1:>", "create item[] 3:>"}, l.take())
			var ids []uint
			require.NoError(t, db.Model(&item{}).Order("id").Pluck("id", &ids).Error)
			assert.Equal(t, []uint{1, 3}, ids)
		})
	}
}

// A consumer that keeps no more rows is told so of every statement.
func TestOverflow(t *testing.T) {
	l := &listing{detail: capture.Keys}
	db := open(t, l, gorm.Config{})
	require.NoError(t, db.Transaction(func(tx *gorm.DB) error {
		for id := range uint(4) {
			require.NoError(t, tx.Create(&item{ID: id + 1}).Error)
		}
		return tx.Model(&item{ID: 1}).Update("title", "x").Error
	}))
	assert.Equal(t, "update item[] "+capture.ErrManyRows.Error(), l.take()[4])
}

func TestOutcomes(t *testing.T) {
	l := &listing{detail: capture.Keys}
	db := open(t, l, gorm.Config{SkipDefaultTransaction: true})
	require.NoError(t, db.Create(&item{ID: 1}).Error)
	assert.Equal(t, []string{"create item[] 1:>"}, l.take(), "outside a transaction at once")
	tx := db.Begin()
	require.NoError(t, tx.Create(&item{ID: 2}).Error)
	require.NoError(t, tx.Rollback().Error)
	assert.Empty(t, l.take())
	assert.Same(t, l, capture.PluginOf(db).Consumer())
}
