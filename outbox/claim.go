package outbox

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

const (
	// beatEvery is the time after which the owner of a claim shows that it lives.
	beatEvery = 500 * time.Millisecond

	// deadAfter is the time after which an owner that does not is taken for dead.
	deadAfter = 3 * time.Second

	// leaveTimeout is the time for giving up the claim.
	leaveTimeout = 2 * time.Second
)

// runAlone publishes to a hub without a broker: the table is claimed, since the pages of
// another hub would miss what this one gets. The clocks of the processes do not matter: a
// newcomer looks whether the owner still counts its beats up.
func (r *relay) runAlone(ctx context.Context) error {
	name := rand.Text()
	if err := r.claim(ctx, name); err != nil || ctx.Err() != nil {
		return err
	}
	r.owner = name
	defer r.leave(context.WithoutCancel(ctx))
	running, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	beating := make(chan struct{})
	go func() {
		defer close(beating)
		if r.beat(running) {
			cancel(ErrClaimed)
		}
	}()
	err := r.run(running)
	if errors.Is(context.Cause(running), ErrClaimed) {
		err = ErrClaimed
	}
	cancel(nil)
	<-beating
	return err
}

// claim makes the relay the owner of the table, "" for no owner. It returns ErrClaimed if
// another one lives.
func (r *relay) claim(ctx context.Context, name string) error {
	var known state
	var since time.Time
	for ctx.Err() == nil {
		taken, s, err := r.tryClaim(ctx, name, known, since)
		switch {
		case err != nil:
			r.failed(ctx, fmt.Errorf("claim the table: %w", err))
			continue
		case taken:
			return nil
		case since.IsZero() || s.owner != known.owner && s.owner == "":
			known, since = s, time.Now()
		case s.owner != known.owner || s.beats != known.beats:
			return ErrClaimed
		}
		select {
		case <-time.After(beatEvery / 2):
		case <-ctx.Done():
		}
	}
	return nil
}

// tryClaim takes the claim if nobody has it, or if its owner has not been seen to live
// since a time.
func (r *relay) tryClaim(ctx context.Context, name string, known state, since time.Time) (taken bool, s state, err error) {
	err = r.access(ctx, func(ctx context.Context, conn *sql.Conn) (err error) {
		if s, err = r.table.readState(ctx, conn); err != nil {
			return err
		}
		isDead := !since.IsZero() && s.owner == known.owner && s.beats == known.beats && time.Since(since) > deadAfter
		if s.owner != "" && !isDead {
			return nil
		}
		if s.owner == name {
			taken = true
			return nil
		}
		taken, err = changesOne(conn.ExecContext(ctx, r.table.claim, name, s.owner, s.beats))
		return err
	})
	return taken, s, err
}

func changesOne(result sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// beat shows that the owner lives, until ctx ends. It returns true if another one has taken
// the claim.
func (r *relay) beat(ctx context.Context) (lost bool) {
	for {
		select {
		case <-time.After(beatEvery):
		case <-ctx.Done():
			return false
		}
		err := r.access(ctx, func(ctx context.Context, conn *sql.Conn) error {
			is, err := changesOne(conn.ExecContext(ctx, r.table.beat, r.owner))
			lost = err == nil && !is
			return err
		})
		if err == nil && lost {
			return true
		}
	}
}

// leave gives the claim up, so that a next process need not wait.
func (r *relay) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	_ = r.access(ctx, func(ctx context.Context, conn *sql.Conn) error {
		_, err := conn.ExecContext(ctx, r.table.release, r.owner) // after a failure the next one waits
		return err
	})
}
