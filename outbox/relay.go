package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/wire"
)

const (
	// checkEvery is the time after which a relay asks the hub again what it has taken, and
	// measures the backlog.
	checkEvery = 5 * time.Second

	// askTimeout is the time that the hub has to say what it has taken: its broker may wait
	// for an engine as long as it is let.
	askTimeout = 5 * time.Second

	// maxPause is the longest pause after an error.
	maxPause = 2 * time.Second

	// A call of the hub has messages up to these limits, or one row.
	callMessages = 200
	callBytes    = 256 << 10
)

// ErrRunning is returned by a second call of Run at the same time.
var ErrRunning = errors.New("outbox: Run runs already")

// ErrClaimed is returned by Run if the hub has no broker, and another process publishes the
// rows to a hub of its own: the pages of one of them would miss changes.
var ErrClaimed = errors.New("outbox: another process publishes the rows to its hub: give the hubs of both a broker, or call Run in one process only")

// Run is a relay: it publishes the rows to the hub and removes them, until ctx ends. Then it
// returns nil; what is left is published by other relays, or by the next Run. It returns
// ErrClaimed, and ErrRunning, and no other error: it tries again after any failure, and logs
// that. Each process that serves pages runs one; those that only write need none.
func (o *Outbox) Run(ctx context.Context) error {
	if o.running.Swap(true) {
		return ErrRunning
	}
	defer o.running.Store(false)
	r := &relay{Outbox: o}
	if !o.hub.HasBroker() {
		return r.runAlone(ctx)
	}
	if err := r.claim(ctx, ""); err != nil {
		return err
	}
	return r.run(ctx)
}

// relay publishes the rows.
type relay struct {
	*Outbox
	owner string // the name in the claim of the table; "": it is not claimed

	source   string // who numbers the batches; "": it is not known what the hub has taken
	taken    int64  // the number up to which the hub has taken them
	removed  int64  // the rows before this number are removed; 0: it is not known which
	emptied  int64  // the number that was taken last when the table was tidy
	seen     int64  // the highest number that it has seen in the table, also before a failure
	seenOf   string // the source of that number
	checked  time.Time
	floors   floors
	failures int
}

// run publishes until ctx ends.
func (r *relay) run(ctx context.Context) error {
	defer r.finish(context.WithoutCancel(ctx))
	poll := time.NewTicker(r.config.Poll)
	defer poll.Stop()
	for ctx.Err() == nil {
		more, err := r.round(ctx)
		switch {
		case errors.Is(err, ErrClaimed):
			return err
		case err != nil:
			r.failed(ctx, err)
		case r.failures > 0:
			r.failures = 0
			r.config.Logger.Info("outbox: the rows are published again")
		}
		if err == nil && !more {
			r.wait(ctx, poll.C)
		}
	}
	return nil
}

// wait returns when something is to be done.
func (r *relay) wait(ctx context.Context, poll <-chan time.Time) {
	for {
		select {
		case <-r.wake:
			return
		case <-ctx.Done():
			return
		case <-poll:
			if waits, err := r.anyWaiting(ctx); waits || err != nil || r.isDue() {
				return
			}
		}
	}
}

// failed logs the first of several errors, and pauses.
func (r *relay) failed(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	r.source = "" // what has been taken is asked again
	if r.failures == 0 {
		r.config.Logger.Error("outbox: rows cannot be published, but stay in the table; they are tried again", "error", err)
	}
	r.failures++
	pause := min(maxPause, 10*time.Millisecond<<min(r.failures, 10))
	select {
	case <-time.After(pause/2 + rand.N(pause/2)):
	case <-ctx.Done():
	}
}

// isDue reports whether it is time to look at the hub and the whole table again.
func (r *relay) isDue() bool { return time.Since(r.checked) >= checkEvery }

// round publishes some rows. It reports whether there may be more.
func (r *relay) round(ctx context.Context) (more bool, err error) {
	due := r.isDue()
	if due || r.source == "" {
		err = r.resume(ctx)
	}
	if due { // also if the hub does not answer: then the table grows
		r.look(ctx)
		r.checked = time.Now()
	}
	if err != nil {
		return false, err
	}
	found, err := r.number(ctx)
	if err != nil || r.source == "" {
		return err == nil, err
	}
	return r.publish(ctx, found)
}

// resume asks the hub what it has taken. That comes before the numbers in the table are
// read: more taken than there are numbers means that the table is an earlier one.
func (r *relay) resume(ctx context.Context) error {
	s, taken, err := r.position(ctx)
	if err != nil {
		return err
	}
	if s.source != r.seenOf {
		r.seen, r.seenOf = 0, s.source
	}
	if s.source != r.source {
		r.removed, r.emptied = 0, 0 // other relays may have died before they removed rows
	}
	r.source, r.taken = s.source, taken
	return nil
}

// position returns what relays share, and the number that the hub has taken.
func (o *Outbox) position(ctx context.Context) (s state, taken int64, err error) {
	err = o.access(ctx, func(ctx context.Context, conn *sql.Conn) (err error) {
		s, err = o.table.readState(ctx, conn)
		return err
	})
	if err != nil {
		return s, 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	number, err := o.hub.Taken(ctx, s.source)
	if err != nil {
		return s, 0, fmt.Errorf("ask what has been taken: %w", err)
	}
	return s, int64(number), nil
}

// anyWaiting reports whether there are rows to number or to publish.
func (r *relay) anyWaiting(ctx context.Context) (waits bool, err error) {
	err = r.access(ctx, func(ctx context.Context, conn *sql.Conn) error {
		var any int
		err := conn.QueryRowContext(ctx, r.table.anyWaiting, r.floors.floor, r.taken).Scan(&any)
		waits = any != 0
		return err
	})
	return waits, err
}

// publish publishes numbered rows, and removes them.
func (r *relay) publish(ctx context.Context, found numbered) (more bool, err error) {
	for rest := found.rows; len(rest) > 0; {
		var call []broker.Batch
		call, rest = r.nextCall(rest)
		if err = r.hub.PublishBatches(ctx, call); err != nil {
			return false, fmt.Errorf("publish: %w", err)
		}
		r.taken = int64(call[len(call)-1].Number)
		r.count(func(s *Stats) { s.Published += uint64(len(call)) })
	}
	if r.taken > r.removed {
		err = r.access(ctx, func(ctx context.Context, conn *sql.Conn) error { return r.remove(ctx, conn) })
		if err == nil {
			r.removed = r.taken
		}
	}
	return found.more || r.taken < r.seen, err
}

// nextCall makes the batches of one call of the hub.
func (r *relay) nextCall(rows []entry) (call []broker.Batch, rest []entry) {
	count, bytes := 0, 0
	for i, e := range rows {
		messages, err := decode(e.batch)
		if err != nil {
			r.config.Logger.Error("outbox: all groups load their snapshots again instead of a row", "number", e.key, "error", err)
			messages = resyncs([]string{wire.AnyGroup}, wire.ReasonUnknown)
		}
		count, bytes = count+len(messages), bytes+len(e.batch)
		if i > 0 && (count > callMessages || bytes > callBytes) {
			return call, rows[i:]
		}
		call = append(call, broker.Batch{Source: r.source, Number: uint64(e.key), Messages: messages})
	}
	return call, nil
}

// remove deletes the rows that the hub has taken. The newest one stays, so that the table
// knows the last number.
func (r *relay) remove(ctx context.Context, q queryer) error {
	if _, err := q.ExecContext(ctx, r.table.remove, r.removed, r.taken); err != nil {
		return fmt.Errorf("delete rows: %w", err)
	}
	return nil
}

// isTidy reports whether nothing is left of the rows that the hub has taken but a number.
func (r *relay) isTidy() bool { return r.emptied == r.taken }

// tidy removes the rows that the hub has taken, and empties the newest one: a hub that has
// forgotten the source would publish it again.
func (r *relay) tidy(ctx context.Context, tx *sql.Tx) error {
	if err := r.remove(ctx, tx); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, r.table.empty, []byte{}, r.taken, r.taken); err != nil {
		return fmt.Errorf("empty the newest row: %w", err)
	}
	return nil
}

// finish tidies up when the relay ends: a hub without a broker forgets what it has taken.
func (r *relay) finish(ctx context.Context) {
	if r.source == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	_ = r.access(ctx, func(ctx context.Context, conn *sql.Conn) error {
		return r.table.locked(ctx, conn, func(tx *sql.Tx, s state) error {
			if s.owner != r.owner || s.source != r.source {
				return nil
			}
			return r.tidy(ctx, tx) // after a failure the next relay does it
		})
	})
}
