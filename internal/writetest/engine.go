// Package writetest holds every way of writing through GORM against what is
// announced. Its suites run on each database that a test hands them.
package writetest

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/rohrposttest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// Engine is a database that the suites run on.
type Engine struct {
	Name string // the column in doc/WRITES.md
	SQL  string // the language: "sqlite", "postgres" or "mysql"

	Fulltext string // the module of SQLite for full-text tables; defaults to "fts4"

	// Open opens a new and empty database, which goes away with the test.
	Open func(tb testing.TB, config gorm.Config) *gorm.DB
}

// Connect opens a database that eight connections may use. They end with the test. GORM logs
// nothing.
func Connect(tb testing.TB, dialector gorm.Dialector, config gorm.Config) *gorm.DB {
	tb.Helper()
	config.Logger = logger.Discard
	db, err := gorm.Open(dialector, &config)
	require.NoError(tb, err)
	pool, err := db.DB()
	require.NoError(tb, err)
	pool.SetMaxOpenConns(8)
	pool.SetConnMaxIdleTime(time.Minute)
	tb.Cleanup(func() { assert.NoError(tb, pool.Close()) })
	return db
}

// modes are the ways a handle can be configured that change what GORM does.
var modes = map[string]gorm.Config{
	"plain":                      {},
	"prepared":                   {PrepareStmt: true},
	"no default tx":              {SkipDefaultTransaction: true},
	"prepared and no default tx": {PrepareStmt: true, SkipDefaultTransaction: true},
}

// bench is one open database with the plugin, and what the plugin publishes.
type bench struct {
	db   *gorm.DB
	hub  *rohrpost.Hub
	logs *syncBuilder

	recorder *rohrposttest.Recorder
}

// open opens a database with the tables of all models of the suite.
func (e Engine) open(tb testing.TB, config gorm.Config, plugin rohrpost.PluginConfig) *bench {
	tb.Helper()
	b := &bench{hub: rohrpost.NewHub(rohrpost.Config{}), logs: &syncBuilder{}}
	b.db = e.Open(tb, config)
	require.NoError(tb, b.db.AutoMigrate(models...))
	b.use(tb, plugin)
	return b
}

// use uses the plugin on the handle, and records what it publishes.
func (b *bench) use(tb testing.TB, plugin rohrpost.PluginConfig) {
	tb.Helper()
	plugin.Logger = slog.New(slog.NewTextHandler(b.logs, nil))
	require.NoError(tb, b.db.Use(rohrpost.Plugin(b.hub, plugin)))
	b.recorder = rohrposttest.Record(tb, b.db)
}

// take returns what was published since the last call, a line each: type, group,
// object, fields, partial.
func (b *bench) take() []string {
	lines := []string{}
	if b.recorder == nil { // there is no plugin
		return lines
	}
	for _, c := range b.recorder.Sent() {
		line := c.Type + " " + c.Group + " " + string(c.Object.(json.RawMessage))
		if c.UpdatedFields != nil {
			line += " " + strings.Join(c.UpdatedFields, ",")
		}
		if c.Partial {
			line += " partial"
		}
		lines = append(lines, line)
	}
	b.recorder.Reset()
	return lines
}

// withoutNotify returns a handle whose writes are not announced.
func (b *bench) withoutNotify() *gorm.DB {
	return b.db.WithContext(rohrpost.WithoutNotify(context.Background()))
}

// syncBuilder is a strings.Builder for several goroutines.
type syncBuilder struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *syncBuilder) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuilder) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
