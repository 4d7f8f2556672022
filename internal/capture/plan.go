package capture

import "errors"

var errUnknownRows = errors.New("the rows of the statement cannot be known on this database")

// facts of a statement, on which its plan depends.
type facts struct {
	op      Operation
	dialect dialect
	wants   Detail // of the consumer; for an upsert, the greater of create and update
	before  bool   // the consumer wants the rows before it too
	soft    bool   // the table has soft deletes
	hasKey  bool   // the table has a primary key

	exactKey bool  // a key in memory is spelled as the database spells it
	rereads  bool  // the rows are wanted as triggers leave them, which RETURNING need not tell
	failure  error // why the table cannot be read

	// Of an update or a delete:
	hides    bool // it may hide rows that are there, or show those that a soft delete has hidden
	setsKey  bool // it may change keys
	keyed    bool // the one row that it can meet is known by its key in memory
	unscoped bool // it meets soft-deleted rows too
	removes  bool // it is a DELETE: a soft delete is an UPDATE
	asked    bool // the caller's statement has RETURNING already
	joined   bool // it names several tables
	rewrites bool // a soft delete sets what is needed as it was before

	// Of a create:
	differs bool // its rows may differ from those in memory
	upserts bool // it has ON CONFLICT
	exact   bool // an existing row is updated whenever it is met
	looksUp bool // it may meet existing rows
	rows    int
}

// plan says how to learn the rows of one statement.
type plan struct {
	skip        bool // the consumer wants nothing of it
	returning   bool // run it with RETURNING
	readsBefore bool // read its rows before it
	readsAfter  bool // read its rows after it
	compares    bool // its rows are wanted before and after it
	whole       bool // rows are needed, not only their keys
	failure     error
}

// extent returns which columns of a row are read.
func (p *plan) extent() extent {
	if p.whole {
		return neededColumns
	}
	return keyColumns
}

// planFor decides about one statement.
func planFor(f facts) plan {
	switch {
	case f.op != Create:
		return planChange(f)
	case f.upserts:
		return planUpsert(f)
	case f.wants < Keys:
		return plan{skip: true}
	}
	p := plan{readsAfter: f.differs, whole: true, failure: f.failure}
	if p.failure == nil && f.differs && !f.hasKey {
		p.failure = errNoKey
	}
	return p
}

// planChange decides about an update or a delete.
func planChange(f facts) (p plan) {
	p.compares = f.op == Update && (f.hides || f.before)
	p.skip = f.wants < Keys && !p.compares
	p.whole = p.compares || f.wants == Columns || f.unscoped
	if p.skip || f.keyed && f.exactKey && !p.whole && f.failure == nil {
		return p
	}
	p.whole = p.whole || !f.hasKey
	p.returning = f.canReturn()
	p.readsBefore = p.compares || !p.returning && (f.op == Delete || !f.keyed)
	p.readsAfter = !p.returning && f.op == Update && (p.whole || f.keyed)
	switch {
	case !f.dialect.known:
		p.failure = errUnknownRows
	case f.failure != nil:
		p.failure = f.failure
	case !f.hasKey && (p.compares || p.readsAfter):
		p.failure = errNoKey
	}
	p.returning = p.returning && p.failure == nil
	return p
}

// canReturn reports whether the statement can be run with RETURNING.
func (f facts) canReturn() bool {
	if f.removes {
		return f.dialect.delete && !f.asked && !(f.dialect.duplicate && f.joined)
	}
	return f.dialect.update && !f.asked && !f.rereads && !f.rewrites
}

// planUpsert decides about an INSERT … ON CONFLICT.
func planUpsert(f facts) (p plan) {
	p.whole = f.before || f.wants == Columns || f.soft || !f.exact
	p.readsBefore, p.readsAfter = f.looksUp, f.looksUp
	switch {
	case !f.dialect.known:
		p.failure = errUnknownRows
	case f.failure != nil:
		p.failure = f.failure
	case f.looksUp && !f.hasKey:
		p.failure = errNoKey
	case f.rows > maxRows:
		p.failure = ErrManyRows
	}
	return p
}
