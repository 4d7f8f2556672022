package writetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/rohrpost/rohrpost"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

var errWanted = errors.New("wanted")

// Programs runs random programs of writes in transactions of every shape: what
// was announced must be what the database says has happened to each row. The
// programs have the seeds from first on, and share the modes.
func Programs(t *testing.T, e Engine, count int, first uint64) {
	for mode, config := range modes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			b := e.open(t, config, rohrpost.PluginConfig{})
			l := ledger{e}
			l.install(t, b.db)
			for i := range uint64(count / len(modes)) {
				p := &program{rng: rand.New(rand.NewPCG(first+i, 0)), engine: e, root: b.db}
				p.fresh(t, b)
				p.run()
				entries, lines := l.entries(t, b.db), b.take()
				if problem := differs(entries, lines); problem != "" {
					t.Fatalf("program of seed %d:\n%s\n%s\nledger:\n%v\nannounced:\n%s\nlog: %s", first+i, strings.Join(p.trace, "\n"), problem, entries, strings.Join(lines, "\n"), b.logs)
				}
			}
		})
	}
}

// program is a random sequence of writes; trace is what it did.
type program struct {
	rng    *rand.Rand
	engine Engine
	root   *gorm.DB
	depth  int
	names  []string // of the savepoints that are set
	trace  []string
}

// fresh makes the tables what each program starts with.
func (p *program) fresh(tb testing.TB, b *bench) {
	db := b.withoutNotify()
	if p.engine.SQL != "mysql" {
		require.NoError(tb, db.Exec("DELETE FROM debts").Error)
	}
	for _, name := range []string{"tickets", "items", "cells"} {
		require.NoError(tb, db.Exec("DELETE FROM "+name).Error)
	}
	require.NoError(tb, db.Create(&[]Ticket{{ID: 1, BoardID: 1, Title: "k"}, {ID: 2, BoardID: 2, Title: "l"}, {ID: 3, BoardID: 3, Title: "m"}}).Error)
	require.NoError(tb, db.Create(&[]Item{{ID: 1, BoardID: 1, Title: "k"}, {ID: 2, BoardID: 2, Title: "l"}, {ID: 3, BoardID: 3, Title: "m"}}).Error)
	require.NoError(tb, db.Create(&[]Cell{{Sheet: "x", Place: 1}, {Sheet: "x", Place: 2}, {Sheet: "y", Place: 1}}).Error)
	require.NoError(tb, db.Exec("DELETE FROM ledger").Error)
	b.take()
}

func (p *program) log(format string, args ...any) {
	p.trace = append(p.trace, strings.Repeat("  ", p.depth)+fmt.Sprintf(format, args...))
}

func (p *program) run() {
	for range 1 + p.rng.IntN(3) {
		if p.rng.IntN(3) == 0 {
			p.write(p.session(p.root))
		} else {
			p.transaction(p.session(p.root))
		}
	}
}

// session varies how the handle is passed on.
func (p *program) session(db *gorm.DB) *gorm.DB {
	switch p.rng.IntN(6) {
	case 0:
		return db.Session(&gorm.Session{PrepareStmt: true})
	case 1:
		return db.Session(&gorm.Session{NewDB: true, SkipDefaultTransaction: p.rng.IntN(2) == 0})
	case 2:
		return db.WithContext(context.Background())
	case 3:
		return db.Session(&gorm.Session{DisableNestedTransaction: true})
	}
	return db
}

func (p *program) transaction(db *gorm.DB) {
	end := []string{"commit", "commit", "commit", "commit", "error", "panic", "cancel", "debt"}[p.rng.IntN(8)]
	byHand := p.rng.IntN(2) == 0
	p.names = nil
	p.log("transaction, by hand %v, %s", byHand, end)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	db = db.WithContext(ctx)
	body := func(tx *gorm.DB) error {
		p.body(tx)
		switch {
		case end == "error":
			return errWanted
		case end == "panic":
			panic("wanted")
		case end == "cancel":
			cancel()
		case end == "debt" && p.engine.SQL != "mysql": // COMMIT will fail
			return tx.Exec("INSERT INTO debts (ticket_id) VALUES (99)").Error
		}
		return nil
	}
	if !byHand {
		_ = panics(func() { _ = db.Transaction(body) })
		return
	}
	tx := db.Begin()
	var err error
	if caught := panics(func() { err = body(tx) }); errors.Join(err, caught) != nil {
		tx.Rollback()
	} else {
		tx.Commit()
	}
}

// body is what happens inside a transaction.
func (p *program) body(tx *gorm.DB) {
	p.depth++
	defer func() { p.depth-- }()
	for range 1 + p.rng.IntN(9) {
		switch kind := p.rng.IntN(10); {
		case kind < 5:
			p.write(p.session(tx))
		case kind < 7 && p.depth < 4:
			p.nested(p.session(tx))
		case kind == 7:
			name := string(rune('a' + p.rng.IntN(2)))
			p.log("savepoint %s: %v", name, p.session(tx).SavePoint(name).Error)
			p.names = append(p.names, name)
		case kind == 8:
			if name := p.name(); name != "" {
				p.log("rollback to %s: %v", name, p.session(tx).RollbackTo(name).Error)
			}
		default:
			if name := p.name(); name != "" {
				p.log("release %s: %v", name, p.session(tx).Exec("RELEASE SAVEPOINT "+name).Error)
			}
		}
	}
}

// name is that of a savepoint, mostly of one that is set: one that is not breaks
// the transaction on most databases.
func (p *program) name() string {
	if len(p.names) == 0 && p.rng.IntN(20) > 0 {
		return ""
	}
	if len(p.names) == 0 {
		return "a"
	}
	return p.names[p.rng.IntN(len(p.names))]
}

func (p *program) nested(tx *gorm.DB) {
	end, set := max(0, p.rng.IntN(4)-1), len(p.names)
	defer func() { p.names = p.names[:min(set, len(p.names))] }()
	p.log("nested, %s", []string{"commit", "error", "panic"}[end])
	_ = panics(func() {
		_ = tx.Transaction(func(tx *gorm.DB) error {
			p.body(tx)
			switch end {
			case 1:
				return errWanted
			case 2:
				panic("wanted")
			}
			return nil
		})
	})
}

// panics turns a panic of fn into an error.
func panics(fn func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	fn()
	return nil
}
