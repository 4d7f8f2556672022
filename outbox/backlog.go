package outbox

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// Stats are figures of an outbox in this process.
type Stats struct {
	Published uint64 // rows that the relay of this process has published
	Resyncs   uint64 // rows in the place of which it has stored resyncs, since MaxRows was exceeded

	Waiting   int64         // rows that waited when the relay last counted them, at most MaxRows + 1
	OldestAge time.Duration // the age of the oldest of them
}

// Stats returns the figures. It is cheap: it does not ask the database. The relay counts the
// rows that wait every five seconds.
func (o *Outbox) Stats() Stats {
	o.figures.Lock()
	defer o.figures.Unlock()
	return o.stats
}

func (o *Outbox) count(f func(*Stats)) {
	o.figures.Lock()
	defer o.figures.Unlock()
	f(&o.stats)
}

// Healthy returns an error if more than MaxRows rows wait, or one for longer than MaxAge, or
// if the database or the hub's broker does not answer. It asks both: rows that wait mean that
// no relay runs in any process, or that none can publish.
func (o *Outbox) Healthy(ctx context.Context) error {
	s, taken, err := o.position(ctx)
	if err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	found, err := o.backlog(ctx, taken)
	if err != nil {
		return fmt.Errorf("outbox: source %s: %w", s.source, err)
	}
	return o.problem(found)
}

// backlog is what waits to be published.
type backlog struct {
	rows int64 // at most one more than MaxRows
	age  time.Duration
}

// backlog counts the rows that have no number, or one above the last that was taken.
func (o *Outbox) backlog(ctx context.Context, taken int64) (found backlog, err error) {
	err = o.access(ctx, func(ctx context.Context, conn *sql.Conn) error {
		var oldest int64
		if err := conn.QueryRowContext(ctx, o.table.backlogOf, o.table.backlog(taken)...).Scan(&found.rows, &oldest); err != nil {
			return fmt.Errorf("count the rows: %w", err)
		}
		if found.rows > 0 {
			found.age = max(0, time.Since(time.UnixMilli(oldest)))
		}
		return nil
	})
	return found, err
}

// problem returns what is wrong with a backlog.
func (o *Outbox) problem(b backlog) error {
	const remedy = "look whether a relay runs (Outbox.Run), and whether the broker of its hub answers"
	switch {
	case o.config.MaxRows >= 0 && b.rows > o.config.MaxRows:
		return fmt.Errorf("outbox: more than %d rows wait: %s", o.config.MaxRows, remedy)
	case o.config.MaxAge >= 0 && b.age > o.config.MaxAge:
		return fmt.Errorf("outbox: a row has waited for %s: %s", b.age.Round(time.Second), remedy)
	}
	return nil
}

// look counts the rows that wait and logs what is wrong with them. With ResyncOldest it
// bounds their number.
func (r *relay) look(ctx context.Context) {
	found, err := r.Outbox.backlog(ctx, r.taken)
	if err != nil {
		return // the round fails too
	}
	r.count(func(s *Stats) { s.Waiting, s.OldestAge = found.rows, found.age })
	if problem := r.problem(found); problem != nil {
		r.config.Logger.Error("outbox: rows wait", "error", problem)
	}
	for r.config.ResyncOldest && r.config.MaxRows >= 0 && found.rows > r.config.MaxRows && ctx.Err() == nil {
		replaced, err := r.resyncOldest(ctx)
		if err != nil {
			r.config.Logger.Error("outbox: the oldest rows cannot be replaced by resyncs", "error", err)
		}
		if err != nil || replaced == 0 {
			return
		}
		if found, err = r.Outbox.backlog(ctx, r.taken); err != nil {
			return
		}
	}
}

// resyncOldest replaces the oldest rows that have no number by one that tells their groups
// to load their snapshots again. It returns how many fewer there are.
func (r *relay) resyncOldest(ctx context.Context) (fewer int, err error) {
	err = r.access(ctx, func(ctx context.Context, conn *sql.Conn) error {
		return r.table.locked(ctx, conn, func(tx *sql.Tx, s state) error {
			rows, _, err := r.table.unnumberedRows(ctx, tx, s.floor)
			if err != nil || len(rows) < 2 {
				return err
			}
			last := rows[len(rows)-1]
			if _, err = tx.ExecContext(ctx, r.table.replaceRow, encode(resyncsOf(rows)), last.key); err != nil {
				return fmt.Errorf("replace a row: %w", err)
			}
			fewer = len(rows) - 1
			return r.table.removeRows(ctx, tx, rows[:fewer])
		})
	})
	if err != nil {
		return 0, err
	}
	r.count(func(s *Stats) { s.Resyncs += uint64(fewer) })
	return fewer, nil
}

// resyncsOf returns the resyncs of all groups of rows.
func resyncsOf(rows []entry) []broker.Message {
	var streams []string
	for _, e := range rows {
		messages, err := decode(e.batch)
		if err != nil {
			return resyncs([]string{wire.AnyGroup}, wire.ReasonOverflow)
		}
		streams = append(streams, streamsOf(messages)...)
	}
	slices.Sort(streams)
	return resyncs(slices.Compact(streams), wire.ReasonOverflow)
}
