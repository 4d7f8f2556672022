package outbox

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/enginefaults"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// Where the services are: the standard ports of this machine, or what the environment says.
var (
	postgresDSN = cmp.Or(os.Getenv("ROHRPOST_POSTGRES"), "host=127.0.0.1 port=5432 user=postgres sslmode=disable")
	mariaDSN    = cmp.Or(os.Getenv("ROHRPOST_MARIADB"), "root@tcp(127.0.0.1:3306)/")
)

// engine is a database on which the tests run. create returns the DSN of a new one.
type engine struct {
	name   string
	create func(testing.TB) (dsn string)
}

var engines = []engine{{"SQLite", createSQLite}, {"PostgreSQL", createPostgres}, {"MariaDB", createMaria}}

// onEach runs a test on every database that is there.
func onEach(t *testing.T, test func(t *testing.T, e engine)) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) { test(t, e) })
	}
}

// absent skips a test whose service is not there; where all of them have to be, it fails.
func absent(tb testing.TB, service string, err error) {
	tb.Helper()
	if os.Getenv("CI") == "true" {
		require.NoError(tb, err, "%s is not there", service)
	}
	tb.Skipf("%s is not there: %v", service, err)
}

func createSQLite(tb testing.TB) string {
	return filepath.Join(tb.TempDir(), "test.db") + "?_journal_mode=WAL&_busy_timeout=20000&_synchronous=OFF"
}

func createPostgres(tb testing.TB) string {
	schema := administer(tb, "PostgreSQL", "pgx", postgresDSN, "CREATE SCHEMA ", "DROP SCHEMA ", " CASCADE")
	return postgresDSN + " search_path=" + schema
}

func createMaria(tb testing.TB) string {
	name := administer(tb, "MariaDB", "mysql", mariaDSN, "CREATE DATABASE ", "DROP DATABASE ", "")
	return strings.Replace(mariaDSN, "/", "/"+name, 1) + "?parseTime=true&charset=utf8mb4"
}

// administer creates a schema or a database for the test.
func administer(tb testing.TB, service, driver, dsn, create, drop, suffix string) (name string) {
	admin, err := sql.Open(driver, dsn)
	require.NoError(tb, err)
	if err = admin.Ping(); err != nil {
		absent(tb, service, err)
	}
	name = "outbox_" + strings.ToLower(rand.Text())
	_, err = admin.Exec(create + name)
	require.NoError(tb, err)
	tb.Cleanup(func() {
		_, err := admin.Exec(drop + name + suffix)
		assert.NoError(tb, err)
		assert.NoError(tb, admin.Close())
	})
	return name
}

// open opens a database by the name of its engine.
func open(name, dsn string, config gorm.Config) (*gorm.DB, error) {
	config.Logger = logger.Discard
	dialectors := map[string]func(string) gorm.Dialector{"SQLite": sqlite.Open, "PostgreSQL": postgres.Open, "MariaDB": mysql.Open}
	db, err := gorm.Open(dialectors[name](dsn), &config)
	if err != nil {
		return nil, err
	}
	pool, err := db.DB()
	if err == nil {
		pool.SetMaxOpenConns(16)
		pool.SetMaxIdleConns(16)
	}
	return db, err
}

// item is a row whose changes are counted.
type item struct {
	rohrpost.NotifyOnChange `rohrpost:"group:item-{pk}"`

	ID      uint
	Version int
}

func (i item) PushNotificationData([]string, string) any { return i.Version }

// node is a process as the tests see it: a handle, a hub, an outbox.
type node struct {
	t    *testing.T
	db   *gorm.DB
	hub  *rohrpost.Hub
	box  *Outbox
	logs *enginefaults.Lines
}

// nodeOn returns a node on a database. The hub has no broker if b is nil.
func nodeOn(t *testing.T, e engine, dsn string, b broker.Broker, gormConfig gorm.Config, c Config) *node {
	t.Helper()
	db, err := open(e.name, dsn, gormConfig)
	require.NoError(t, err)
	pool, err := db.DB()
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, pool.Close()) })
	n := &node{t: t, db: db, logs: &enginefaults.Lines{}}
	log := slog.New(slog.NewTextHandler(n.logs, nil))
	n.hub = rohrpost.NewHub(rohrpost.Config{Logger: log, Broker: b})
	n.hub.Allow("item-{id}", rohrpost.Anyone)
	require.NoError(t, db.Use(rohrpost.Plugin(n.hub)))
	require.NoError(t, db.AutoMigrate(&item{}))
	if c.Logger == nil {
		c.Logger = log
	}
	n.box, err = New(db, n.hub, c)
	require.NoError(t, err)
	return n
}

// run runs a relay until the returned function is called.
func (n *node) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.box.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			assert.NoError(n.t, <-ended)
		})
	}
	n.t.Cleanup(stop)
	return stop
}

// rows returns how many rows wait.
func (n *node) rows() int64 {
	s, taken, err := n.box.position(context.Background())
	require.NoError(n.t, err)
	_ = s
	found, err := n.box.backlog(context.Background(), taken)
	require.NoError(n.t, err)
	return found.rows
}

// drain waits until no row waits.
func (n *node) drain() {
	n.t.Helper()
	assert.Eventually(n.t, func() bool { return n.rows() == 0 }, 30*time.Second, 5*time.Millisecond)
}

var errAway = errors.New("the broker is away")

// sink is a broker that only takes batches, and remembers all messages in their order.
type sink struct {
	mu       sync.Mutex
	taken    map[string]uint64
	messages []broker.Message
	calls    int
	repeats  int // batches that were dropped by their number
	away     bool
	lost     bool // batches are taken, but the answer is an error
	refuses  string
	pause    time.Duration
	asked    func() // called by Taken, after it has looked
}

func (s *sink) Publish(ctx context.Context, batches []broker.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	time.Sleep(s.pause)
	s.calls++
	if s.away {
		return errAway
	}
	if s.taken == nil {
		s.taken = map[string]uint64{}
	}
	for _, b := range batches {
		if b.Number <= s.taken[b.Source] {
			s.repeats++
			continue
		}
		for _, m := range b.Messages {
			if s.refuses != "" && bytes.Contains(m.Payload, []byte(s.refuses)) {
				return &broker.RefusedError{Source: b.Source, Number: b.Number, Err: errors.New("too spicy")}
			}
		}
		s.taken[b.Source] = b.Number
		s.messages = append(s.messages, b.Messages...)
	}
	if s.lost {
		return errAway
	}
	return nil
}

func (s *sink) Taken(_ context.Context, source string) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return 0, errAway
	}
	taken := s.taken[source]
	if s.asked != nil {
		s.asked()
	}
	return taken, nil
}

func (s *sink) Follow(_ context.Context, streams []string) ([]broker.Position, error) {
	at := make([]broker.Position, len(streams))
	for i := range at {
		at[i] = broker.Position{Epoch: "e"}
	}
	return at, nil
}

func (s *sink) Unfollow(context.Context, []string) error { return nil }

func (s *sink) Read(context.Context, string, uint64, int) (broker.History, error) {
	return broker.History{Position: broker.Position{Epoch: "e"}}, nil
}

func (s *sink) Positions(ctx context.Context, streams []string) ([]broker.Position, error) {
	return s.Follow(ctx, streams)
}

func (s *sink) Run(ctx context.Context, ready func(), _ func([]broker.Message)) error {
	ready()
	<-ctx.Done()
	return ctx.Err()
}

func (s *sink) set(f func(*sink)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

// take returns the messages in their order, one line each, and forgets them.
func (s *sink) take() (lines []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.messages {
		lines = append(lines, describe(m))
	}
	s.messages = nil
	return lines
}

// describe returns what a message says: its stream, type and object. An order to all hubs
// is described by its pattern.
func describe(m broker.Message) string {
	var change struct {
		Pattern string
		Object  json.RawMessage
		Data    struct {
			Type   string
			Object json.RawMessage
		}
	}
	payload := m.Payload[bytes.IndexByte(m.Payload, '{'):] // behind the version of hubs
	if err := json.Unmarshal(payload, &change); err == nil && change.Pattern != "" {
		return change.Pattern + " " + string(change.Object)
	}
	if change.Data.Type == "" {
		return m.Stream + " " + string(payload)
	}
	return fmt.Sprint(m.Stream, " ", change.Data.Type, " ", string(change.Data.Object))
}
