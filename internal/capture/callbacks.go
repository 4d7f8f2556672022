package capture

import (
	"github.com/rohrpost/rohrpost/internal/panics"
	"gorm.io/gorm"
)

// before returns the callback that runs just before GORM writes: where the rows
// or columns cannot be known otherwise, it puts a stand-in under the statement.
func (p *Plugin) before(op Operation) func(*gorm.DB) {
	return func(db *gorm.DB) {
		if db.Statement.Schema == nil || db.Error != nil || db.DryRun {
			return
		}
		t := p.tableOf(db.Statement.Schema)
		if t == nil {
			return
		}
		tx, err := trackedTxOf(db.Statement.ConnPool)
		if err != nil || tx != nil && tx.overflowed() {
			return // the consumer is told no row of it
		}
		if w := newStatementConn(db, t, op, p.consumer, p.log); w != nil {
			db.Statement.ConnPool = w
		}
	}
}

// after returns the callback that runs just after GORM wrote, still inside the
// transaction: it takes the stand-in away and tells the consumer of the rows.
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
		if detail := told(db, t, op, w); wrote && detail > Nothing {
			if err := p.tell(db, t, op, w, detail); err != nil {
				p.consumer.Missed(t, op, err)
			}
		}
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

// told returns how much the consumer is told of a statement. One without a stand-in is
// a create that is in memory, or one of which no row is told.
func told(db *gorm.DB, t *Table, op Operation, w *statementConn) Detail {
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

// tell hands a statement to what the consumer keeps of its transaction. One outside a
// transaction has committed.
func (p *Plugin) tell(db *gorm.DB, t *Table, op Operation, w *statementConn, detail Detail) (err error) {
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
	switch {
	case kept.Overflowed():
		s.Unknown = ErrManyRows
	case detail >= Keys:
		s.Unknown = s.fill(db, w)
	}
	kept.Captured(s)
	*s = Statement{}
	p.statements.Put(s)
	if tx == nil {
		kept.End(Committed)
	}
	return nil
}

// fill finds out what the statement has done. An error is why some of its rows are
// not known.
func (s *Statement) fill(db *gorm.DB, w *statementConn) error {
	if w == nil {
		return reportCreated(s, db, db.Statement.ConnPool)
	}
	s.Set, s.Named, s.SetsKey = w.set, w.named, w.setsKey
	switch {
	case w.failure != nil:
		return w.failure
	case w.upsert != nil:
		return w.upsert.report(w, s)
	case w.op == Create:
		return reportCreated(s, db, w.ConnPool)
	case w.plan.compares:
		return w.reportCompared(s)
	}
	return w.reportChanged(s)
}
