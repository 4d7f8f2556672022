package sqlbroker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// pollListening is the time between two looks while notifications come.
	pollListening = time.Second

	// listenTimeout is the time in which the Broker must hear a notification of its own.
	listenTimeout = 3 * time.Second

	// listenPause and maxListenPause are the times between two attempts to listen, which are
	// doubled with each failure.
	listenPause    = 100 * time.Millisecond
	maxListenPause = 30 * time.Second
)

var errNotHeard = errors.New("no notification comes: let Config.Listen lead to the server itself, " +
	"or to a pooler that gives a client one connection for its whole session")

// channel returns the channel on which PostgreSQL notifies.
func (b *Broker) channel() string { return "rohrpost_" + b.config.App }

// idle returns the time between two looks after some time without messages.
func (b *Broker) idle() time.Duration {
	if b.listening.Load() {
		return pollListening
	}
	return b.config.PollIdle
}

// listen wakes Run when another process has published. While no notification can come, Run
// looks as often as without it.
func (b *Broker) listen(ctx context.Context) {
	pause, logged := listenPause, false
	for ctx.Err() == nil {
		err := b.listenOnce(ctx)
		if b.listening.Swap(false) {
			pause, logged = listenPause, false
		}
		if ctx.Err() == nil && !logged {
			b.config.Logger.Error("sqlbroker: LISTEN does not work: the database is polled", "error", err)
			logged = true
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, maxListenPause)
	}
}

// listenOnce listens until the connection ends, or no notification of its own comes.
func (b *Broker) listenOnce(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, b.config.Listen)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{b.channel()}.Sanitize()); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if err := b.hear(ctx, conn); err != nil {
		return err
	}
	b.listening.Store(true)
	for {
		b.wakeRun()
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return fmt.Errorf("wait for a notification: %w", err)
		}
	}
}

// hear waits for a notification that another connection sends. A pooler that gives a client
// another connection for each transaction takes LISTEN, and drops what comes.
func (b *Broker) hear(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeoutCause(ctx, listenTimeout, errNotHeard)
	defer cancel()
	if err := b.db.WithContext(ctx).Exec("SELECT pg_notify(?, '')", b.channel()).Error; err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	if _, err := conn.WaitForNotification(ctx); err != nil {
		return fmt.Errorf("wait for a notification: %w: %w", err, context.Cause(ctx))
	}
	return nil
}
