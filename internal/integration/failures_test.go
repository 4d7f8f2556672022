package integration

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	mysqldriver "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/mattn/go-sqlite3"
	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/internal/writetest"
	"github.com/rohrpost/rohrpost/rohrposttest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// sheet is moved by its column, and rendered by a method.
type sheet struct {
	rohrpost.NotifyOnChange `rohrpost:"group:board-{board}"`
	ID                      int64
	Board                   int64
	Title                   string `gorm:"size:50"`
}

// PushNotificationData implements rohrpost.PayloadProvider.
func (s sheet) PushNotificationData([]string, string) any {
	return map[string]any{"id": s.ID, "title": s.Title}
}

// failingEngine is a database whose statements can be made to fail.
type failingEngine struct {
	name    string
	open    func(t *testing.T, f *faults, config gorm.Config) *gorm.DB
	classes []fault
}

var failingEngines = []failingEngine{
	{"SQLite", openFailingSQLite, []fault{
		{name: "busy", err: sqlite3.Error{Code: sqlite3.ErrBusy}},
		{name: "interrupted", err: sqlite3.Error{Code: sqlite3.ErrInterrupt}},
		{name: "the disk is full", err: sqlite3.Error{Code: sqlite3.ErrFull}, spoils: "ROLLBACK"},
	}},
	{"PostgreSQL", openFailingPostgres, []fault{
		{name: "deadlock", err: &pgconn.PgError{Code: "40P01"}, spoils: "SELECT 1/0"},
		{name: "lock time-out", err: &pgconn.PgError{Code: "55P03"}, spoils: "SELECT 1/0"},
		{name: "statement time-out", err: &pgconn.PgError{Code: "57014"}, spoils: "SELECT 1/0"},
		{name: "aborted transaction", err: &pgconn.PgError{Code: "25P02"}, spoils: "SELECT 1/0"},
		{name: "not sent", err: errors.New("extended protocol limited to 65535 parameters")},
	}},
	{"MariaDB", openFailingMaria(false), mariaClasses},
	{"MySQL", openFailingMaria(true), mariaClasses},
}

var mariaClasses = []fault{
	{name: "deadlock", err: &mysqldriver.MySQLError{Number: 1213}, spoils: "ROLLBACK"},
	{name: "changed", err: &mysqldriver.MySQLError{Number: 1020}, spoils: "ROLLBACK"},
	{name: "lock time-out", err: &mysqldriver.MySQLError{Number: 1205}},
	{name: "statement time-out", err: &mysqldriver.MySQLError{Number: 1969}},
}

var commonClasses = []fault{
	{name: "lost connection", err: errLost, loses: true},
	{name: "ended context", err: context.Canceled, cancel: true},
	{name: "unreadable rows", garble: true},
}

// failingPrograms are writes for which the plugin reads.
var failingPrograms = map[string]func(db *gorm.DB) error{
	"update": func(db *gorm.DB) error { return db.Model(&sheet{ID: 1}).Update("title", "x").Error },
	"update by condition": func(db *gorm.DB) error {
		return db.Model(&sheet{}).Where("id < ?", 3).Update("title", "x").Error
	},
	"move":              func(db *gorm.DB) error { return db.Model(&sheet{ID: 1}).Update("board", 9).Error },
	"move by condition": func(db *gorm.DB) error { return db.Model(&sheet{}).Where("id < ?", 3).Update("board", 9).Error },
	"delete":            func(db *gorm.DB) error { return db.Where("id < ?", 3).Delete(&sheet{}).Error },
	"create":            func(db *gorm.DB) error { return db.Create(&sheet{ID: 7, Board: 1}).Error },
	"create, a column left out": func(db *gorm.DB) error {
		return db.Omit("Title").Create(&sheet{ID: 7, Board: 1, Title: "not written"}).Error
	},
	"save": func(db *gorm.DB) error {
		return db.Save(&[]sheet{{ID: 1, Board: 9, Title: "x"}, {ID: 8, Board: 1}}).Error
	},
	"do nothing": func(db *gorm.DB) error {
		return db.Clauses(clause.OnConflict{DoNothing: true}).Create(&[]sheet{{ID: 1, Board: 9}, {ID: 8, Board: 1}}).Error
	},
}

// TestOwnFailures makes each statement and each read of the plugin fail, in each way that
// the database knows. The caller must see what he sees without the plugin, or be told that
// his transaction is over. A page that applies the changes and loads the rows again at a
// resync must end with the rows.
func TestOwnFailures(t *testing.T) {
	for _, e := range failingEngines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			f := &faults{}
			for mode, config := range map[string]gorm.Config{"default tx": {}, "no default tx": {SkipDefaultTransaction: true}, "prepared": {PrepareStmt: true}} {
				bare, with := e.open(t, &faults{}, config), e.open(t, f, config)
				logs := &strings.Builder{}
				hub := rohrpost.NewHub(rohrpost.Config{Logger: slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelWarn}))})
				require.NoError(t, with.Use(rohrpost.Plugin(hub)))
				for name, program := range failingPrograms {
					for _, explicit := range []bool{false, true} {
						run := failingRun{e: e, f: f, bare: bare, with: with, explicit: explicit, program: program}
						t.Run(fmt.Sprintf("%s/%s/explicit %v", mode, name, explicit), run.all)
					}
				}
				assert.Empty(t, logs.String(), "the caller's error says all")
			}
		})
	}
}

type failingRun struct {
	e          failingEngine
	f          *faults
	bare, with *gorm.DB
	explicit   bool
	program    func(*gorm.DB) error
}

func (r *failingRun) all(t *testing.T) {
	r.f.fault, r.f.known = nil, nil
	want := r.twin(t)
	count := 0
	for _, class := range slices.Concat(r.e.classes, commonClasses) {
		if class.loses && r.e.name == "SQLite" {
			continue // it has no connection to lose
		}
		for k := 0; ; k++ {
			if !r.one(t, class, k, want) {
				count += k
				break
			}
		}
	}
	t.Logf("%d failures", count)
}

// twin runs the program without the plugin. It learns its statements and its rows.
func (r *failingRun) twin(t *testing.T) []sheet {
	f := r.bareFaults()
	seedSheets(t, r.bare)
	f.texts = nil
	require.NoError(t, r.run(r.bare))
	r.f.known = map[string]bool{}
	r.f.begins = true
	for _, text := range f.texts {
		if text == "BEGIN" {
			r.f.begins = false
		} else {
			r.f.known[text] = true
		}
	}
	return sheetsOf(t, r.bare)
}

func (r *failingRun) bareFaults() *faults {
	pool, _ := r.bare.DB()
	return pool.Driver().(failingDriver).faults
}

// one makes the statement k of ours fail. It returns false if there are not so many.
func (r *failingRun) one(t *testing.T, class fault, k int, want []sheet) bool {
	r.f.fault = nil
	seedSheets(t, r.with)
	require.NoError(t, r.with.Exec("DROP TABLE IF EXISTS absent").Error) // the plugin asks again what the tables are
	before := sheetsOf(t, r.with)
	rec := rohrposttest.Record(t, r.with)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r.f.mu.Lock()
	r.f.next, r.f.fault, r.f.fired, r.f.cancel = k, &class, "", cancel
	r.f.mu.Unlock()
	err := r.run(r.with.WithContext(ctx))
	r.f.mu.Lock()
	fired := r.f.fired
	r.f.fault = nil
	r.f.mu.Unlock()
	if fired == "" {
		require.NoError(t, err)
		return false
	}
	name := fmt.Sprintf("%s at %d: %s: the caller gets %v", class.name, k, fired, err)
	rows := sheetsOf(t, r.with)
	if err == nil {
		assert.Equal(t, want, rows, name)
	} else {
		assert.Equal(t, before, rows, name)
		assert.True(t, r.mayEnd(class, fired), name)
		if !class.loses && !(class.cancel && errors.Is(err, sql.ErrTxDone)) {
			assert.Regexp(t, "^"+regexp.QuoteMeta(class.err.Error()), err, name) // GORM adds that it cannot roll back
		}
	}
	assert.Equal(t, rows, pageOf(before, rec.Published(), rows), "%s\n%s", name, rec.Published())
	return true
}

// mayEnd reports whether the failure may end the caller's transaction: if the server has
// ended it, or where the statement itself would have met the failure.
func (r *failingRun) mayEnd(class fault, query string) bool {
	switch {
	case class.loses || class.cancel:
		return true
	case r.e.name == "PostgreSQL":
		return class.spoils != "" && (strings.Contains(query, " FOR NO KEY UPDATE") || strings.HasPrefix(query, "SAVEPOINT")) // which nothing can block
	}
	return class.spoils != "" || class.name == "lock time-out"
}

// run runs the program, alone or between two other writes.
func (r *failingRun) run(db *gorm.DB) error {
	if !r.explicit {
		return r.program(db)
	}
	return db.Transaction(func(tx *gorm.DB) error {
		for _, write := range []func(*gorm.DB) error{
			func(tx *gorm.DB) error { return tx.Exec("UPDATE sheets SET title = 'first' WHERE id = 5").Error },
			r.program,
			func(tx *gorm.DB) error { return tx.Exec("UPDATE sheets SET title = 'last' WHERE id = 5").Error },
		} {
			if err := write(tx); err != nil {
				return err
			}
		}
		if tx.Plugins[rohrpost.Plugin(nil).Name()] == nil {
			return nil
		}
		return rohrpost.Notify(tx, rohrpost.Change{Group: "board-1", Type: rohrpost.Update, Object: map[string]any{"id": 5, "title": "last"}})
	})
}

func seedSheets(t *testing.T, db *gorm.DB) {
	pool, err := db.DB()
	require.NoError(t, err)
	for _, statement := range []string{
		"DELETE FROM sheets",
		"INSERT INTO sheets (id, board, title) VALUES (1, 1, 'a'), (2, 2, 'b'), (5, 1, 'e')",
	} {
		_, err := pool.Exec(statement)
		require.NoError(t, err)
	}
}

func sheetsOf(t *testing.T, db *gorm.DB) (sheets []sheet) {
	require.NoError(t, db.Session(&gorm.Session{NewDB: true, PrepareStmt: false}).Order("id").Find(&sheets).Error)
	return sheets
}

// pageOf applies changes to rows. A resync loads them again.
func pageOf(rows []sheet, changes []rohrpost.Change, loaded []sheet) (page []sheet) {
	shown := map[int64]sheet{}
	show := func(rows []sheet) {
		clear(shown)
		for _, row := range rows {
			shown[row.ID] = row
		}
	}
	show(rows)
	for _, change := range changes {
		var object struct {
			ID    int64
			Title string
		}
		_ = json.Unmarshal(change.Object.(json.RawMessage), &object)
		var board int64
		_, _ = fmt.Sscanf(change.Group, "board-%d", &board)
		switch {
		case change.Type == rohrpost.Resync:
			show(loaded)
		case change.Type == rohrpost.Delete && shown[object.ID].Board == board:
			delete(shown, object.ID)
		case change.Type != rohrpost.Delete:
			shown[object.ID] = sheet{ID: object.ID, Board: board, Title: object.Title}
		}
	}
	for _, row := range loaded {
		if _, ok := shown[row.ID]; ok {
			page = append(page, shown[row.ID])
		}
		delete(shown, row.ID)
	}
	for _, row := range shown {
		page = append(page, row)
	}
	return page
}

func openFailingSQLite(t *testing.T, f *faults, config gorm.Config) *gorm.DB {
	dsn := filepath.Join(t.TempDir(), "test.db") + "?_journal_mode=WAL&_busy_timeout=1000&_synchronous=OFF"
	return openFailing(t, dsnConnector{dsn, &sqlite3.SQLiteDriver{}}, f, config, func(pool *sql.DB) gorm.Dialector { return sqlite.New(sqlite.Config{Conn: pool}) })
}

// dsnConnector opens the connections of a driver without connectors.
type dsnConnector struct {
	dsn    string
	driver driver.Driver
}

// Connect implements driver.Connector.
func (c dsnConnector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.dsn) }

// Driver implements driver.Connector.
func (c dsnConnector) Driver() driver.Driver { return c.driver }

func openFailingPostgres(t *testing.T, f *faults, config gorm.Config) *gorm.DB {
	var schema string
	require.NoError(t, openPostgres(t, gorm.Config{}).Raw("SELECT current_schema()").Scan(&schema).Error)
	settings, err := pgx.ParseConfig(postgresDSN + " search_path=" + schema)
	require.NoError(t, err)
	return openFailing(t, stdlib.GetConnector(*settings), f, config, func(pool *sql.DB) gorm.Dialector { return postgres.New(postgres.Config{Conn: pool}) })
}

func openFailingMaria(plain bool) func(*testing.T, *faults, gorm.Config) *gorm.DB {
	return func(t *testing.T, f *faults, config gorm.Config) *gorm.DB {
		settings, err := mysqldriver.ParseDSN(mariaDSN)
		require.NoError(t, err)
		settings.DBName, settings.InterpolateParams = openMaria(t, gorm.Config{}, plain).Migrator().CurrentDatabase(), true // MySQL prepares nothing behind our back
		connector, err := mysqldriver.NewConnector(settings)
		require.NoError(t, err)
		return openFailing(t, connector, f, config, func(pool *sql.DB) gorm.Dialector {
			return mysql.New(mysql.Config{Conn: pool, DisableWithReturning: plain})
		})
	}
}

func openFailing(t *testing.T, connector driver.Connector, f *faults, config gorm.Config, dialector func(*sql.DB) gorm.Dialector) *gorm.DB {
	pool := sql.OpenDB(&failingConnector{connector, f})
	t.Cleanup(func() { assert.NoError(t, pool.Close()) })
	db := writetest.Connect(t, dialector(pool), config)
	require.NoError(t, db.AutoMigrate(&sheet{}))
	return db
}
