// Package outbox makes a promise of the changes that a hub sends: every change that has
// committed becomes exactly one message, whatever process dies, and the changes of a row
// keep the order of their commits, across processes.
//
// New makes the plugin store the changes of each transaction in the transaction itself, as
// one row of the table rohrpost_outbox. Outbox.Run, a relay, publishes the rows to the hub,
// and deletes them. Any number of processes may run one.
package outbox

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/broker"
	"gorm.io/gorm"
)

// Config configures an Outbox. The zero Config is ready to use.
type Config struct {
	// Logger logs what a relay cannot do, and rows that wait for too long. Defaults to
	// slog.Default().
	Logger *slog.Logger

	// Poll is how often a relay looks for rows that it was not told of: those of processes
	// without a relay, and those that a relay has left when it died. It is told of the
	// commits of its own process. Defaults to 250 milliseconds.
	Poll time.Duration

	// MaxRows is the number of waiting rows above which Healthy returns an error and the
	// relays log one. A negative one means no limit. Defaults to 1,000,000.
	MaxRows int64

	// MaxAge is the age of a waiting row above which Healthy returns an error and the relays
	// log one. A negative one means no limit. Defaults to one minute.
	MaxAge time.Duration

	// ResyncOldest bounds the table: while more than MaxRows rows wait, a relay replaces the
	// oldest of them by rows that tell their groups to load their snapshots again. Defaults to
	// false: the table grows as long as nothing can be published.
	ResyncOldest bool
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Poll = cmp.Or(c.Poll, 250*time.Millisecond)
	c.MaxRows = cmp.Or(c.MaxRows, 1_000_000)
	c.MaxAge = cmp.Or(c.MaxAge, time.Minute)
	return c
}

// Outbox stores the changes of one database, and publishes them. Its methods may be called
// concurrently. Make one with New.
type Outbox struct {
	config Config
	hub    *rohrpost.Hub
	table  *table
	wake   chan struct{}
	turns  *turns // nil on a database with several writers at a time

	running atomic.Bool
	figures sync.Mutex // guards stats
	stats   Stats
}

// New makes the plugin on db store the changes of db in the table rohrpost_outbox of the same
// database, from the next transaction on. The plugin must serve hub. New makes the table if it
// is not there, and starts nothing: call Run in at least one process.
//
// From then on a COMMIT has one more statement, an INSERT. If that fails, the transaction is
// rolled back, and Commit, or the write, returns an error that begins with "rohrpost: the
// outbox could not be written".
func New(db *gorm.DB, hub *rohrpost.Hub, c Config) (*Outbox, error) {
	if hub == nil {
		return nil, errors.New("outbox: no hub")
	}
	c = c.withDefaults()
	t, err := newTable(db, c.MaxRows)
	if err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	if err = Migrate(db); err != nil {
		return nil, err
	}
	o := &Outbox{config: c, hub: hub, table: t, wake: make(chan struct{}, 1)}
	if t.oneWriter {
		o.turns = &turns{}
	}
	if err = rohrpost.UseOutbox(db, hub, writer{o}); err != nil {
		return nil, err
	}
	return o, nil
}

// writer is the outbox as the plugin sees it.
type writer struct{ outbox *Outbox }

// Write implements rohrpost.Outbox.
func (w writer) Write(ctx context.Context, conn gorm.ConnPool, messages []broker.Message) error {
	query, args := w.outbox.table.insert(encode(messages), time.Now())
	var err error
	if conn != nil {
		_, err = conn.ExecContext(ctx, query, args...)
	} else {
		if end := w.Turn(ctx); end != nil {
			defer end()
		}
		_, err = w.outbox.table.pool.ExecContext(ctx, query, args...)
	}
	return err
}

// Written implements rohrpost.Outbox.
func (w writer) Written() {
	select {
	case w.outbox.wake <- struct{}{}:
	default: // it is woken already
	}
}

// Turn implements rohrpost.Outbox.
func (w writer) Turn(ctx context.Context) (end func()) {
	if w.outbox.turns == nil {
		return nil
	}
	return w.outbox.turns.begin(ctx)
}

// accessTimeout is the time that the database has for one access of a relay.
const accessTimeout = 10 * time.Second

// access calls f with a connection of the database that no transaction of the program uses.
// On a database with one writer at a time it takes the turn of a relay.
func (o *Outbox) access(ctx context.Context, f func(context.Context, *sql.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, accessTimeout)
	defer cancel()
	use := func(connecting context.Context) error {
		conn, err := o.table.pool.Conn(connecting)
		if err != nil {
			return fmt.Errorf("get a connection: %w", err)
		}
		defer func() { _ = conn.Close() }() // back into the pool
		return f(ctx, conn)
	}
	if o.turns != nil {
		return o.turns.take(ctx, use)
	}
	return use(ctx)
}
