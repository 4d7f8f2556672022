package capture

import (
	"github.com/rohrpost/rohrpost/internal/panics"
	"gorm.io/gorm"
)

// before returns the callback that runs just before GORM writes. It puts a stand-in
// under the statement where memory does not tell the rows or the columns, or where the
// statement has no transaction.
func (p *Plugin) before(op Operation) func(*gorm.DB) {
	return func(db *gorm.DB) {
		if db.Statement.Schema == nil || db.Error != nil || db.DryRun {
			return
		}
		t := p.tableOf(db.Statement.Schema)
		if t == nil || t.failure != nil {
			return
		}
		tx, err := trackedTxOf(db.Statement.ConnPool)
		if err != nil || tx != nil && tx.overflowed() {
			return // the consumer takes no row of it
		}
		if w := newStatementConn(db, t, op, &p.publisher, tx != nil); w != nil {
			db.Statement.ConnPool = w
		}
	}
}

// after returns the callback that runs just after GORM wrote, still inside the
// transaction. It takes the stand-in away and delivers the rows to the consumer.
func (p *Plugin) after(op Operation) func(*gorm.DB) {
	return func(db *gorm.DB) {
		if db.Statement.Schema == nil {
			afterText(db)
			return
		}
		t := p.tableOf(db.Statement.Schema)
		if t == nil {
			return
		}
		w, _ := db.Statement.ConnPool.(*statementConn)
		if w != nil {
			db.Statement.ConnPool = w.outer
		}
		wrote := db.Error == nil && db.RowsAffected != 0 && !db.DryRun
		if t.failure != nil {
			if wrote {
				p.consumer.Missed(t, op, t.failure)
			}
			return
		}
		if detail := detailOf(db, t, op, w); wrote && detail > Nothing {
			if err := p.deliver(db, t, op, w, detail); err != nil {
				p.consumer.Missed(t, op, err)
			}
		}
		noteEnd(db)
		switch {
		case w == nil:
		case db.Error != nil:
			w.rollBackImplicit()
		default:
			if err := w.commitImplicit(); err != nil {
				_ = db.AddError(err)
			}
		}
	}
}

// detailOf returns the detail in which the consumer gets a statement. A statement
// without a stand-in is a create whose rows are in memory, or its rows stay unknown.
func detailOf(db *gorm.DB, t *Table, op Operation, w *statementConn) Detail {
	if w != nil {
		if w.plan.skip {
			return Nothing
		}
		return Columns
	}
	wants := t.interest.Wants(db.Statement.Context, op)
	if op == Create || wants <= Written {
		return wants
	}
	if tx, err := trackedTxOf(db.Statement.ConnPool); err != nil || tx != nil && tx.overflowed() {
		return wants
	}
	return Nothing
}

// deliver hands a statement to the consumer's Transaction. A statement outside a
// transaction has committed.
func (p *Plugin) deliver(db *gorm.DB, t *Table, op Operation, w *statementConn, detail Detail) (err error) {
	defer panics.Recover(&err)
	pool := db.Statement.ConnPool
	if w != nil {
		pool = w.ConnPool
	}
	tx, err := trackedTxOf(pool)
	if err != nil {
		return err
	}
	var kept Transaction
	if tx != nil {
		kept = tx.transaction()
	} else {
		kept = p.consumer.Begin(db.Statement.Context)
	}
	s := p.statements.Get().(*Statement)
	s.Context, s.Table, s.Operation = db.Statement.Context, t, op
	s.db, s.pool, s.tableName = db, pool, db.Statement.Table
	switch {
	case kept.Overflowed():
		s.Unknown = ErrManyRows
	case detail >= Keys:
		s.Unknown = s.fill(db, w)
	default:
		s.rowless = true
	}
	if tx != nil {
		tx.wrote(s)
		kept.Captured(s)
	} else {
		kept.Captured(s)
		p.publish(kept, s.appendIDs(nil))
	}
	if s.ended != nil {
		_ = db.AddError(s.ended)
	}
	*s = Statement{}
	p.statements.Put(s)
	return nil
}

// fill sets the rows of the statement. The error says why some of them are unknown.
func (s *Statement) fill(db *gorm.DB, w *statementConn) error {
	if w == nil {
		return fillCreated(s, db, db.Statement.ConnPool)
	}
	s.Set, s.Named, s.SetsKey = w.set, w.named, w.setsKey
	if w.failure != nil {
		return w.failure
	}
	g, inner := newGuard(w.ConnPool, w.dialect), w.ConnPool
	w.ConnPool = g
	err := s.fillFrom(w)
	w.ConnPool, s.ended = inner, g.end(s.Context, err)
	return err
}

// fillFrom is fill with what the stand-in has learnt.
func (s *Statement) fillFrom(w *statementConn) error {
	switch {
	case w.upsert != nil:
		return w.upsert.fillUpserted(w, s)
	case w.op == Create:
		return fillCreated(s, w.db, w.ConnPool)
	case w.plan.compares:
		return w.fillCompared(s)
	}
	return w.fillChanged(s)
}
