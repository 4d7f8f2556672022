package rohrpost_test

import (
	"encoding/json"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/internal/sqlitetest"
	"github.com/rohrpost/rohrpost/rohrposttest"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

// task uses every fallback: no tag, no methods.
type task struct {
	rohrpost.NotifyOnChange
	ID        uint
	Title     string
	Done      bool
	UpdatedAt time.Time
}

// ticket is grouped and rendered by columns that a write need not mention.
type ticket struct {
	rohrpost.NotifyOnChange
	ID        uint
	BoardID   uint
	Title     string
	UpdatedAt time.Time
}

func (t ticket) GroupName(string) string { return "board-" + strconv.FormatUint(uint64(t.BoardID), 10) }

func (t ticket) PushNotificationData(fields []string, messageType string) any {
	return map[string]any{"id": t.ID, "board": t.BoardID, "title": t.Title}
}

// modes are the ways a handle can be configured that change what GORM does.
var modes = map[string]gorm.Config{
	"plain":                      {},
	"prepared":                   {PrepareStmt: true},
	"no default tx":              {SkipDefaultTransaction: true},
	"prepared and no default tx": {PrepareStmt: true, SkipDefaultTransaction: true},
}

func eachMode(t *testing.T, test func(t *testing.T, db *gorm.DB, rec *recorder)) {
	for name, config := range modes {
		t.Run(name, func(t *testing.T) {
			db, rec := openDB(t, config)
			test(t, db, rec)
		})
	}
}

// openDB opens a database with the plugin.
func openDB(tb testing.TB, config gorm.Config, models ...any) (*gorm.DB, *recorder) {
	tb.Helper()
	db := sqlitetest.Open(tb, config)
	return db, use(tb, db, rohrpost.PluginConfig{}, models...)
}

// use uses the plugin on a handle, and creates the tables of task, ticket and models.
func use(tb testing.TB, db *gorm.DB, config rohrpost.PluginConfig, models ...any) *recorder {
	tb.Helper()
	rec := &recorder{logs: &strings.Builder{}, hub: rohrpost.NewHub(rohrpost.Config{})}
	config.Logger = slog.New(slog.NewTextHandler(rec.logs, nil))
	require.NoError(tb, db.Use(rohrpost.Plugin(rec.hub, config)))
	require.NoError(tb, db.AutoMigrate(append(models, &task{}, &ticket{})...))
	rec.Recorder = rohrposttest.Record(tb, db)
	return rec
}

// recorder holds what the plugin publishes and logs.
type recorder struct {
	*rohrposttest.Recorder
	logs *strings.Builder
	hub  *rohrpost.Hub
}

// take returns what was published since the last call, a line each: type,
// group, object, fields.
func (r *recorder) take() []string {
	lines := []string{}
	for _, c := range r.Published() {
		line := c.Type + " " + c.Group + " " + string(c.Object.(json.RawMessage))
		if c.UpdatedFields != nil {
			line += " " + strings.Join(c.UpdatedFields, ",")
		}
		if c.Partial {
			line += " partial"
		}
		lines = append(lines, line)
	}
	r.Reset()
	return lines
}
