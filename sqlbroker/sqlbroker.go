// Package sqlbroker lets the hubs of several processes share their messages through a
// database that GORM knows. Nothing else is to be run. PostgreSQL wakes the hubs by
// LISTEN; the other databases are polled.
//
//	b, err := sqlbroker.New(db, sqlbroker.Config{App: "shop"})
//	...
//	hub := rohrpost.NewHub(rohrpost.Config{Broker: b})
//
// The throughput is that of a table which all publishers lock in turn: some hundred
// commits a second. Package redisbroker and natsbroker carry more.
package sqlbroker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/rohrpost/rohrpost/broker"
)

const (
	// remember is how long a source is remembered after its last batch.
	remember = 2 * time.Hour

	// maxPayload is the size of the largest payload, maxBatch the number of messages in the
	// largest batch.
	maxPayload = 1 << 20
	maxBatch   = 1000
)

// Config configures a Broker. A negative limit or duration means none.
type Config struct {
	// App is the name of the program, of lower-case letters, digits and "_". The tables are
	// called rohrpost_App_clock, _streams, _messages and _sources. All processes of a
	// program have the same. Required.
	App string

	// Listen is the connection string of a PostgreSQL server on which the Broker listens for
	// what other processes publish. It must lead to the server itself: LISTEN does not work
	// behind PgBouncer in transaction mode, where the Broker logs that, and polls. Defaults to
	// "": the database is polled.
	Listen string

	// Logger logs that Listen does not work. Defaults to slog.Default().
	Logger *slog.Logger

	// MaxMessages is the number of messages kept of all groups. Defaults to 100,000.
	MaxMessages int

	// MaxAge is how long a message is kept at least, unless MaxMessages is exceeded.
	// Defaults to 5 minutes.
	MaxAge time.Duration

	// KeepUnused is how long the history of a group goes on after its last member at any hub
	// has left; at least a minute, since hubs renew it every few seconds. Defaults to 5
	// minutes.
	KeepUnused time.Duration

	// PollBusy and PollIdle are the times between two looks at the database, while messages
	// come and after some time without. Default to 25 ms and 250 ms.
	PollBusy, PollIdle time.Duration
}

var appGrammar = regexp.MustCompile(`^[a-z][a-z0-9_]{0,29}$`)

func (c Config) withDefaults() (Config, error) {
	if !appGrammar.MatchString(c.App) {
		return c, fmt.Errorf("sqlbroker: Config.App is %q: name the program by 1 to 30 lower-case letters, digits and \"_\", a letter first", c.App)
	}
	c.MaxMessages = cmp.Or(c.MaxMessages, 100_000)
	c.MaxAge = cmp.Or(c.MaxAge, 5*time.Minute)
	c.KeepUnused = cmp.Or(c.KeepUnused, 5*time.Minute)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.PollBusy = cmp.Or(c.PollBusy, 25*time.Millisecond)
	c.PollIdle = cmp.Or(c.PollIdle, 250*time.Millisecond)
	if 0 < c.KeepUnused && c.KeepUnused < time.Minute {
		return c, fmt.Errorf("sqlbroker: Config.KeepUnused is %v: it must be a minute at least, or negative", c.KeepUnused)
	}
	if c.PollBusy < 0 || c.PollIdle < c.PollBusy {
		return c, errors.New("sqlbroker: Config.PollBusy and PollIdle must be positive, and PollIdle not the shorter one")
	}
	return c, nil
}

var (
	_ broker.Broker   = (*Broker)(nil)
	_ broker.Limiter  = (*Broker)(nil)
	_ broker.Migrator = (*Broker)(nil)
	_ broker.Renewer  = (*Broker)(nil)
)

// Broker is a broker.Broker on a database for one hub. It has a goroutine only while its
// hub listens. Make one with New. All its methods may be called concurrently.
type Broker struct {
	db     *gorm.DB
	config Config
	tables tables
	clock  string // the columns of the clock
	wake   chan struct{}

	migrating chan struct{} // has one place
	listening atomic.Bool   // notifications come

	mu       sync.Mutex // guards what follows
	migrated bool
	running  bool
	followed map[string]bool
	known    mark
	present  present
}

// New returns a Broker that uses a database, which may be that of the program. On SQLite
// use a file of its own, else the Broker and the program wait for each other's writes.
// New fails if the Config is not valid. It makes no query: the tables are made at the
// first use, or by Migrate.
func New(db *gorm.DB, c Config) (*Broker, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	b := &Broker{
		config: c, tables: tablesOf(c.App), clock: "seq, era, instance, '' AS server",
		wake: make(chan struct{}, 1), migrating: make(chan struct{}, 1), followed: make(map[string]bool),
	}
	b.db = db.Session(&gorm.Session{NewDB: true, SkipDefaultTransaction: true, SkipHooks: true, Logger: logger.Discard})
	if db.Name() == "postgres" {
		// A number of microseconds: how a session writes a time or a float depends on its settings.
		b.clock = "seq, era, instance, CAST(CAST(EXTRACT(EPOCH FROM pg_postmaster_start_time()) * 1000000 AS bigint) AS text) AS server"
	} else if c.Listen != "" {
		return nil, fmt.Errorf("sqlbroker: Config.Listen is for PostgreSQL; the database is %s", db.Name())
	}
	return b, nil
}

// Migrate implements broker.Migrator.
func (b *Broker) Migrate(ctx context.Context) error {
	if err := b.tables.migrate(ctx, b.db); err != nil {
		return fmt.Errorf("sqlbroker: %w", err)
	}
	return nil
}

// prepare makes the tables at the first use, and again where they are gone: the database may
// have been restored to before they were made.
func (b *Broker) prepare(ctx context.Context) error {
	b.mu.Lock()
	migrated := b.migrated
	b.mu.Unlock()
	if migrated {
		return nil
	}
	select {
	case b.migrating <- struct{}{}:
		defer func() { <-b.migrating }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := b.tables.migrate(ctx, b.db); err != nil {
		return err
	}
	b.setMigrated(true)
	return nil
}

func (b *Broker) setMigrated(migrated bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.migrated = migrated
}

// Follow implements broker.Broker.
func (b *Broker) Follow(ctx context.Context, streams []string) (positions []broker.Position, err error) {
	if len(streams) == 0 {
		return nil, nil
	}
	b.mu.Lock()
	for _, name := range streams {
		b.followed[name] = true
	}
	b.mu.Unlock()
	err = b.locked(ctx, 0, func(t *transaction) error {
		positions, err = t.begin(streams)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("sqlbroker: follow streams: %w", err)
	}
	return positions, nil
}

// Unfollow implements broker.Broker.
func (b *Broker) Unfollow(_ context.Context, streams []string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, name := range streams {
		delete(b.followed, name)
	}
	return nil
}

// Positions implements broker.Broker. It lets the streams go on for Config.KeepUnused.
func (b *Broker) Positions(ctx context.Context, streams []string) (positions []broker.Position, err error) {
	if len(streams) == 0 {
		return nil, nil
	}
	var old []string
	err = b.reading(ctx, func(t *transaction) error {
		positions, old, err = t.positions(streams)
		return err
	})
	if err == nil {
		err = b.touch(ctx, old)
	}
	if err != nil {
		return nil, fmt.Errorf("sqlbroker: read positions: %w", err)
	}
	return positions, nil
}

// touch lets streams go on, some at a time, so that publishers do not wait for all.
func (b *Broker) touch(ctx context.Context, names []string) error {
	for some := range slices.Chunk(names, 500) {
		if err := b.locked(ctx, 0, func(t *transaction) error { return t.touch(some) }); err != nil {
			return err
		}
	}
	return nil
}

// Read implements broker.Broker.
func (b *Broker) Read(ctx context.Context, name string, after uint64, limit int) (h broker.History, err error) {
	err = b.reading(ctx, func(t *transaction) error {
		h, err = t.history(name, after, limit)
		return err
	})
	if err != nil {
		return broker.History{}, fmt.Errorf("sqlbroker: read a stream: %w", err)
	}
	return h, nil
}

// Taken implements broker.Broker.
func (b *Broker) Taken(ctx context.Context, name string) (number uint64, err error) {
	err = b.reading(ctx, func(t *transaction) error {
		numbers, err := t.numbers([]string{name})
		number = uint64(numbers[name])
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("sqlbroker: read the number of a source: %w", err)
	}
	return number, nil
}

// Publish implements broker.Broker. It waits for other publishers of the program.
func (b *Broker) Publish(ctx context.Context, batches []broker.Batch) error {
	var refused error
	count := 0
	for i := range batches {
		if refused = refuse(&batches[i]); refused != nil {
			batches = batches[:i]
			break
		}
		count += len(batches[i].Messages)
	}
	if len(batches) > 0 {
		var newest mark
		err := b.locked(ctx, count, func(t *transaction) (err error) {
			untried, tried := broker.Untried(batches, b.eraSince())
			if tried != nil {
				refused = tried
			}
			newest, err = t.publish(untried)
			return err
		})
		if err != nil {
			return fmt.Errorf("sqlbroker: publish: %w", explain(err))
		}
		b.know(newest)
		b.wakeRun()
	}
	return refused
}

// refuse returns the error for a batch that a Broker does not take.
func refuse(batch *broker.Batch) error {
	var err error
	if len(batch.Messages) > maxBatch {
		err = fmt.Errorf("sqlbroker: the batch has %d messages, at most %d are taken", len(batch.Messages), maxBatch)
	}
	for i := range batch.Messages {
		if n := len(batch.Messages[i].Payload); n > maxPayload {
			err = fmt.Errorf("sqlbroker: a payload has %d bytes, at most %d are taken", n, maxPayload)
		}
	}
	if err == nil {
		return nil
	}
	return &broker.RefusedError{Source: batch.Source, Number: batch.Number, Err: err}
}

// explain adds the remedy to an error that an operator must end. Each driver has its own type
// of errors; PostgreSQL, MySQL and SQLite say one of these words.
func explain(err error) error {
	for _, text := range []string{"No space left on device", "is full"} {
		if strings.Contains(err.Error(), text) {
			return fmt.Errorf("%w: make room on the disk of the database", err)
		}
	}
	return err
}

// Limits implements broker.Limiter.
func (b *Broker) Limits() broker.Limits {
	l := broker.Limits{PayloadBytes: maxPayload, BatchMessages: maxBatch, Keep: -1}
	if b.config.MaxAge >= 0 && b.config.KeepUnused >= 0 {
		l.Keep = 2*max(b.config.MaxAge, b.config.KeepUnused) + cleanInterval
	}
	return l
}

// Renew implements broker.Renewer. It is needed after the database was restored from a
// copy while no process of the program was running.
func (b *Broker) Renew(ctx context.Context) error {
	if err := b.locked(ctx, 0, func(t *transaction) error { return t.renew() }); err != nil {
		return fmt.Errorf("sqlbroker: renew the epochs: %w", err)
	}
	return nil
}
