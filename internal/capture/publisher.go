package capture

import (
	"context"
	"database/sql"
	"fmt"
	"sync/atomic"

	"github.com/rohrpost/rohrpost/internal/panics"
)

// publisher lets the consumer publish the rows of transactions in the order of their
// commits, or store them.
type publisher struct {
	consumer Consumer
	order    commitOrder
	stores   atomic.Pointer[stores]
}

// publish ends a Transaction of the consumer whose rows have committed already.
func (p *publisher) publish(kept Transaction, rows []rowID) {
	t := &turn{}
	p.order.enter(t, rows)
	p.end(kept, t, Committed)
}

// storeAlone stores what a Transaction of the consumer holds, outside of a transaction of
// the database. It does nothing without a Store.
func (p *publisher) storeAlone(ctx context.Context, s Store, kept Transaction) error {
	if s == nil {
		return nil
	}
	if err := panics.Guard(func() error { return kept.Store(ctx, nil, false) }); err != nil {
		return unstoredError(err)
	}
	return nil
}

// end ends a Transaction of the consumer in its turn. It may be nil, and so may the turn.
func (p *publisher) end(kept Transaction, t *turn, o Outcome) {
	if t != nil {
		p.order.wait(t)
	}
	if kept != nil {
		kept.End(o)
	}
	overtaken := t != nil && p.order.leave(t)
	if kept != nil {
		kept.Finish(overtaken)
	}
}

// stores are those of the databases that a plugin serves.
type stores map[*sql.DB]Store

// storeOf returns the Store of a database, nil for none.
func (p *publisher) storeOf(db *sql.DB) Store {
	all := p.stores.Load()
	if all == nil {
		return nil
	}
	return (*all)[db]
}

// turn waits for the program's turn to write. The returned function is never nil.
func (p *publisher) turn(ctx context.Context, db *sql.DB) (end func()) {
	if s := p.storeOf(db); s != nil {
		if end = s.Turn(ctx); end != nil {
			return end
		}
	}
	return func() {}
}

// unstoredError is the error of a write that is refused since the Store failed.
func unstoredError(err error) error {
	return fmt.Errorf("rohrpost: the outbox could not be written: %w", err)
}
