package rohrpost

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rohrpost/rohrpost/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// task uses every fallback: no tag, no methods.
type task struct {
	NotifyOnChange
	ID        uint
	Title     string
	Done      bool
	UpdatedAt time.Time
}

// ticket is grouped and rendered by columns that a write need not mention.
type ticket struct {
	NotifyOnChange
	ID        uint
	BoardID   uint
	Title     string
	UpdatedAt time.Time
}

func (t ticket) GroupName(string) string { return "board-" + itoa(t.BoardID) }

func (t ticket) PushNotificationData(fields []string, messageType string) any {
	return map[string]any{"id": t.ID, "board": t.BoardID, "title": t.Title}
}

func itoa(n uint) string { return strconv.FormatUint(uint64(n), 10) }

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

// openDB opens a database in memory, with a single connection: what needed a
// second one while a transaction is open would hang.
func openDB(tb testing.TB, config gorm.Config, models ...any) (*gorm.DB, *recorder) {
	tb.Helper()
	db := openBareDB(tb, config)
	rec := &recorder{logs: &strings.Builder{}}
	p := Plugin(NewHub(Config{}), PluginConfig{Logger: slog.New(slog.NewTextHandler(rec.logs, nil))}).(*plugin)
	p.publish, p.heard, rec.counters = rec.publish, everybody, p.counters
	require.NoError(tb, db.Use(p))
	require.NoError(tb, db.AutoMigrate(append(models, &task{}, &ticket{})...))
	return db, rec
}

var databases atomic.Int64 // names them apart

func openBareDB(tb testing.TB, config gorm.Config) *gorm.DB {
	tb.Helper()
	config.Logger = logger.Discard
	dsn := fmt.Sprintf("file:%d?mode=memory&cache=shared&_foreign_keys=1", databases.Add(1))
	keeper, err := sql.Open(sqlite.DriverName, dsn) // the database lives as long as a connection does
	require.NoError(tb, err)
	require.NoError(tb, keeper.Ping())
	tb.Cleanup(func() { assert.NoError(tb, keeper.Close()) })
	db, err := gorm.Open(sqlite.Open(dsn), &config)
	require.NoError(tb, err)
	pool, err := db.DB()
	require.NoError(tb, err)
	pool.SetMaxOpenConns(1)
	tb.Cleanup(func() { assert.NoError(tb, pool.Close()) })
	return db
}

func everybody(string) bool { return true }

// recorder takes what the plugin publishes.
type recorder struct {
	mu       sync.Mutex
	changes  []Change
	logs     *strings.Builder
	counters *counters
}

func (r *recorder) publish(changes []wire.Change) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes = append(r.changes, asChanges(changes)...)
	return nil
}

// take returns what was published since the last call, a line each: type,
// group, object, fields.
func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	lines := []string{}
	for _, c := range r.changes {
		object, err := json.Marshal(c.Object)
		if err != nil {
			object = []byte(err.Error())
		}
		line := c.Type + " " + c.Group + " " + string(object)
		if c.UpdatedFields != nil {
			line += " " + strings.Join(c.UpdatedFields, ",")
		}
		lines = append(lines, line)
	}
	r.changes = nil
	return lines
}
