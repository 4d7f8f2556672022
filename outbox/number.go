package outbox

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/rohrpost/rohrpost/internal/wire"
)

// numbered are rows that have a number.
type numbered struct {
	rows   []entry // keyed by their numbers: those that the hub has not taken
	before int64   // the highest number before the round
	last   int64   // and after it
	more   bool    // other rows may be left
	tidied bool    // nothing was left, and the relay has tidied up
}

// number gives numbers to the rows that have none, in the order of their ids. Relays do that
// one after another, under the lock of their row. The rows are chosen by their state, not by a
// position: a transaction may commit after another one that got a higher id. Two that wrote
// the same row do not, since the second one got its id when the first one had committed.
func (r *relay) number(ctx context.Context) (found numbered, err error) {
	err = r.access(ctx, func(ctx context.Context, conn *sql.Conn) error {
		return r.table.locked(ctx, conn, func(tx *sql.Tx, s state) error {
			found, err = r.numberIn(ctx, tx, s)
			return err
		})
	})
	if err != nil {
		return numbered{}, err
	}
	r.seen = max(r.seen, found.last)
	if found.tidied {
		r.removed, r.emptied = r.taken, r.taken
	}
	return found, nil
}

func (r *relay) numberIn(ctx context.Context, tx *sql.Tx, s state) (found numbered, err error) {
	switch {
	case s.owner != r.owner:
		return found, ErrClaimed
	case s.source != r.source:
		r.source = "" // another relay has found that the database went back
		return found, nil
	}
	if err = r.sweep(ctx, tx, s.floor); err != nil {
		return found, err
	}
	rows, last, err := r.table.unnumberedRows(ctx, tx, s.floor)
	if err != nil {
		return found, err
	}
	if found.before = last.number; found.before < max(r.taken, r.seen) {
		return numbered{}, r.renew(ctx, tx, found.before)
	}
	r.seen = found.before
	if found.before-r.taken > roundRows { // first they are published
		found.more = true
		found.rows, err = r.table.entries(ctx, tx, r.table.numbered, r.taken)
		return found, err
	}
	if found.more = isPart(rows); found.more {
		last.id = rows[len(rows)-1].key
	}
	if err = r.moveFloor(ctx, tx, s.floor, last.id); err != nil {
		return found, err
	}
	if len(rows) == 0 && found.before == r.taken && !r.isTidy() {
		if err = r.tidy(ctx, tx); err != nil {
			return found, err
		}
		found.tidied = true
	}
	for len(rows) > 0 {
		run := runOf(rows)
		first := found.before + int64(len(found.rows)) + 1
		if _, err = tx.ExecContext(ctx, r.table.number, first-rows[0].key, rows[0].key, rows[run-1].key); err != nil {
			return found, fmt.Errorf("number rows: %w", err)
		}
		for i, e := range rows[:run] {
			found.rows = append(found.rows, entry{key: first + int64(i), batch: e.batch})
		}
		rows = rows[run:]
	}
	found.last = found.before + int64(len(found.rows))
	if found.before > r.taken { // other relays may not have published theirs
		found.rows, err = r.table.entries(ctx, tx, r.table.numbered, r.taken)
	}
	return found, err
}

// runOf returns how many of the first rows have ids one after another.
func runOf(rows []entry) int {
	n := 1
	for n < len(rows) && rows[n].key == rows[n-1].key+1 {
		n++
	}
	return n
}

const (
	// settled is the time in which a transaction ends that has got its id, just before COMMIT.
	settled = time.Minute

	floorEvery = settled / 6
)

// floors move the id up to which a relay looks for no rows. A database keeps deleted rows as
// long as any session holds an older snapshot; looking through those would make the rounds
// slower and slower.
type floors struct {
	floor   int64 // as the relay has read it last
	samples []sample
	swept   time.Time
}

// sample is an id up to which, at a time, the relay has seen all rows that were there.
type sample struct {
	at time.Time
	id int64
}

// moveFloor sets the floor to an id that was given out long ago. id is that up to which the
// relay has seen all rows just now.
func (r *relay) moveFloor(ctx context.Context, tx *sql.Tx, floor, id int64) error {
	f, now := &r.floors, time.Now()
	f.floor = floor
	if n := len(f.samples); n == 0 || now.Sub(f.samples[n-1].at) >= floorEvery {
		f.samples = append(f.samples, sample{now, id})
	}
	higher := floor
	for len(f.samples) > 0 && now.Sub(f.samples[0].at) >= settled {
		higher = max(higher, min(f.samples[0].id, id))
		f.samples = f.samples[1:]
	}
	if id < floor {
		higher, f.samples = 0, nil // the table has been emptied, or its ids begin anew
	}
	if higher == floor {
		return nil
	}
	if _, err := tx.ExecContext(ctx, r.table.setFloor, higher); err != nil {
		return fmt.Errorf("set the floor: %w", err)
	}
	return nil
}

// sweep looks, once a minute, for rows up to the floor: their transactions have committed so
// late that a later change of the same row may have been published. They become resyncs of
// their groups, above all other rows.
func (r *relay) sweep(ctx context.Context, tx *sql.Tx, floor int64) error {
	if time.Since(r.floors.swept) < settled {
		return nil
	}
	r.floors.swept = time.Now()
	late, err := r.table.entries(ctx, tx, r.table.late, floor)
	if err != nil || len(late) == 0 {
		return err
	}
	r.config.Logger.Warn("outbox: transactions have taken more than a minute to commit: their groups load their snapshots again", "transactions", len(late))
	for _, e := range late {
		if _, err = tx.ExecContext(ctx, r.table.removeIDs, e.key, e.key); err != nil {
			return fmt.Errorf("delete a late row: %w", err)
		}
		query, args := r.table.insert(asResyncs(e.batch, wire.ReasonOrder), time.Now())
		if _, err = tx.ExecContext(ctx, query, args...); err != nil {
			return fmt.Errorf("write a late row again: %w", err)
		}
	}
	return nil
}

// renew gives the batches a new source, since the database went back to an earlier state: the
// hub would drop the numbers that it has taken before. All groups load their snapshots again.
func (r *relay) renew(ctx context.Context, tx *sql.Tx, last int64) error {
	r.config.Logger.Error("outbox: the database went back to an earlier state: all groups load their snapshots again",
		"last number", last, "taken", r.taken, "seen", r.seen)
	for _, step := range []struct {
		query string
		args  []any
	}{
		{r.table.empty, []any{[]byte{}, 0, min(r.taken, last)}},
		{r.table.setSource, []any{newSource()}},
	} {
		if _, err := tx.ExecContext(ctx, step.query, step.args...); err != nil {
			return fmt.Errorf("begin a new source: %w", err)
		}
	}
	query, args := r.table.insert(encode(resyncs([]string{wire.AnyGroup}, wire.ReasonUnknown)), time.Now())
	if _, err := tx.ExecContext(ctx, query, args...); err != nil {
		return fmt.Errorf("write a resync of all groups: %w", err)
	}
	r.source, r.floors = "", floors{}
	return nil
}
