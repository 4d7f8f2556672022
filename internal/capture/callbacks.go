package capture

import (
	"errors"

	"github.com/rohrpost/rohrpost/internal/panics"
	"gorm.io/gorm"
)

// around returns the callback that stands in for GORM's own write. It puts a stand-in
// under the statement where memory does not tell the rows or the columns, or where the
// statement has no transaction. It takes the stand-in away as soon as GORM has written:
// other callbacks never see it.
func (p *Plugin) around(op Operation, write func(*gorm.DB)) func(*gorm.DB) {
	return func(db *gorm.DB) {
		defer p.turnOf(db.Statement)()
		if db.Statement.Schema == nil {
			write(db)
			afterText(db)
			return
		}
		t := p.tableOf(db)
		if t == nil {
			write(db)
			return
		}
		if t.failure != nil {
			write(db)
			p.missed(db, t, op)
			return
		}
		w, l, err := p.before(db, t, op)
		write(db)
		p.after(db, t, op, w, l, err)
	}
}

// missed reports a write to a table whose model is wrong.
func (p *Plugin) missed(db *gorm.DB, t *Table, op Operation) {
	if db.Error == nil && db.RowsAffected != 0 && !db.DryRun {
		p.consumer.Missed(t, op, t.failure)
	}
}

// before prepares for a statement, still before it is built. The error says why the
// layout of the table, which a create needs, is unknown. If that has ended the caller's
// transaction, it is the statement's error too.
func (p *Plugin) before(db *gorm.DB, t *Table, op Operation) (*statementConn, *layout, error) {
	if db.Error != nil || db.DryRun {
		return nil, nil, nil
	}
	tx, err := trackedTxOf(db.Statement.ConnPool)
	if err != nil || tx != nil && tx.overflowed() {
		return nil, nil, nil // the consumer takes no row of it
	}
	var l *layout
	if op == Create {
		l, err = t.layoutForCreate(db)
	}
	if ended := endOf(err); ended != nil {
		_ = db.AddError(ended)
		return nil, nil, nil
	}
	w := newStatementConn(db, t, l, op, &p.publisher, tx != nil)
	if w != nil {
		db.Statement.ConnPool = w
	}
	return w, l, err
}

// after takes the stand-in away and delivers the rows to the consumer, still inside the
// transaction.
func (p *Plugin) after(db *gorm.DB, t *Table, op Operation, w *statementConn, l *layout, failure error) {
	if w != nil {
		db.Statement.ConnPool = w.outer
	}
	isView := errors.Is(failure, errView) || w != nil && errors.Is(w.failure, errView) // which need not tell what it has written
	wrote := db.Error == nil && (db.RowsAffected != 0 || isView) && !db.DryRun
	if detail := detailOf(db, t, op, w); wrote && detail > Nothing {
		if err := p.deliver(db, t, op, w, l, detail, failure); err != nil {
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
func (p *Plugin) deliver(db *gorm.DB, t *Table, op Operation, w *statementConn, l *layout, detail Detail, failure error) (err error) {
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
	var store Store // outside a transaction
	if tx != nil {
		kept = tx.transaction()
	} else {
		store = p.storeOfPool(pool)
		kept = p.consumer.Begin(db.Statement.Context, store)
	}
	s := p.statements.Get().(*Statement)
	s.Context, s.Table, s.Operation = db.Statement.Context, t, op
	s.db, s.pool, s.tableName = db, pool, orderName(db.Statement)
	switch {
	case kept.Overflowed():
		s.Unknown = ErrManyRows
	case detail >= Keys && failure != nil:
		s.Unknown = failure
	case detail >= Keys:
		if s.Unknown = s.fill(db, w, l); errors.As(s.Unknown, new(*panics.Error)) {
			p.consumer.Missed(t, op, s.Unknown)
		}
	default:
		s.rowless = true
	}
	if isChangedTable(s.Unknown) {
		t.forget(db.Statement)
	}
	if tx != nil {
		tx.wrote(s)
		kept.Captured(s)
	} else {
		kept.Captured(s)
		if err = p.storeAlone(s.Context, store, kept); err != nil {
			p.log.Error("rohrpost: a statement without a transaction is published without the outbox", "model", t.Name, "error", err)
		}
		p.publish(kept, s.appendIDs(nil))
	}
	if s.ended != nil {
		_ = db.AddError(s.ended)
	}
	*s = Statement{}
	p.statements.Put(s)
	return nil
}

// fill sets the rows of the statement. The error says why some of them are unknown; it may
// be a panic of a model's method.
func (s *Statement) fill(db *gorm.DB, w *statementConn, l *layout) error {
	if w == nil {
		return panics.Guard(func() error { return fillCreated(s, db, db.Statement.ConnPool, l) })
	}
	s.Set, s.Named, s.SetsKey = w.set, w.named, w.setsKey
	s.Values = w.values
	if w.failure != nil {
		return w.failure
	}
	inner := w.ConnPool
	w.guard = newGuard(inner, w.dialect)
	g := &w.guard // of the stand-in, which spares an allocation
	w.ConnPool = g
	err := panics.Guard(func() error { return s.fillFrom(w) })
	g.isLast = g.isSet && w.endsTransaction() // which allocates
	w.ConnPool, s.ended = inner, g.end(s.Context, err)
	return err
}

// fillFrom is fill with what the stand-in has learnt.
func (s *Statement) fillFrom(w *statementConn) error {
	switch {
	case w.upsert != nil:
		return w.upsert.fillUpserted(w, s)
	case w.op == Create:
		return fillCreated(s, w.db, w.ConnPool, w.layout)
	case w.plan.compares:
		return w.fillCompared(s)
	}
	return w.fillChanged(s)
}
