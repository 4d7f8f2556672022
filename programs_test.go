package rohrpost

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

var (
	programs     = flag.Int("programs", 10_000, "random programs of writes to run")
	programsSeed = flag.Uint64("programs-seed", 1, "seed of the first program")
)

// ledger is kept by the database's own triggers, in the transaction of each
// change: a row of it is there if and only if the change is.
const ledger = `
CREATE TABLE ledger (seq INTEGER PRIMARY KEY AUTOINCREMENT, entry TEXT);
CREATE TABLE debts (ticket_id INTEGER REFERENCES tickets(id) DEFERRABLE INITIALLY DEFERRED);
CREATE TRIGGER created AFTER INSERT ON tickets BEGIN INSERT INTO ledger (entry) VALUES
	('create board-' || NEW.board_id || ' ' || json_object('board', NEW.board_id, 'id', NEW.id, 'title', NEW.title)); END;
CREATE TRIGGER moved AFTER UPDATE ON tickets WHEN NEW.board_id <> OLD.board_id BEGIN INSERT INTO ledger (entry) VALUES
	('delete board-' || OLD.board_id || ' ' || json_object('board', OLD.board_id, 'id', OLD.id, 'title', OLD.title)),
	('create board-' || NEW.board_id || ' ' || json_object('board', NEW.board_id, 'id', NEW.id, 'title', NEW.title)); END;
CREATE TRIGGER updated AFTER UPDATE ON tickets WHEN NEW.board_id = OLD.board_id BEGIN INSERT INTO ledger (entry) VALUES
	('update board-' || NEW.board_id || ' ' || json_object('board', NEW.board_id, 'id', NEW.id, 'title', NEW.title)); END;
CREATE TRIGGER deleted AFTER DELETE ON tickets BEGIN INSERT INTO ledger (entry) VALUES
	('delete board-' || OLD.board_id || ' ' || json_object('board', OLD.board_id, 'id', OLD.id, 'title', OLD.title)); END;`

// fresh is what each program starts with.
const fresh = `
DELETE FROM debts; DELETE FROM tickets;
INSERT INTO tickets (id, board_id, title) VALUES (1, 1, 'k'), (2, 2, 'l'), (3, 3, 'm');
DELETE FROM ledger;`

// TestPrograms runs random programs of writes in transactions of every shape:
// what was sent must equal what the database says has happened.
func TestPrograms(t *testing.T) {
	count := *programs
	if testing.Short() {
		count = min(count, 200)
	}
	for name, config := range modes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, rec := openDB(t, config)
			pool, err := db.DB()
			require.NoError(t, err)
			_, err = pool.Exec(ledger)
			require.NoError(t, err)
			for i := range uint64(count / len(modes)) {
				_, err = pool.Exec(fresh)
				require.NoError(t, err)
				p := &program{rng: rand.New(rand.NewPCG(*programsSeed+i, 0)), root: db}
				p.run()
				var want []string
				require.NoError(t, db.Raw("SELECT entry FROM ledger ORDER BY seq").Scan(&want).Error)
				got := rec.take()
				for i := range got { // the ledger does not know the fields
					got[i] = got[i][:strings.Index(got[i], "}")+1]
				}
				if strings.Join(want, "\n") != strings.Join(got, "\n") {
					t.Fatalf("program with -programs-seed=%d:\n%s\nin the database:\n%s\nsent:\n%s",
						*programsSeed+i, strings.Join(p.trace, "\n"), strings.Join(want, "\n"), strings.Join(got, "\n"))
				}
			}
		})
	}
}

// program is a random sequence of writes; trace is what it did.
type program struct {
	rng   *rand.Rand
	root  *gorm.DB
	depth int
	trace []string
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
	p.log("transaction, by hand %v, %s", byHand, end)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	db = db.WithContext(ctx)
	body := func(tx *gorm.DB) error {
		p.body(tx)
		switch end {
		case "error":
			return errWanted
		case "panic":
			panic("wanted")
		case "cancel":
			cancel()
		case "debt": // COMMIT will fail
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
	name := func() string { return string(rune('a' + p.rng.IntN(2))) }
	for range 1 + p.rng.IntN(9) {
		switch kind := p.rng.IntN(10); {
		case kind < 5:
			p.write(p.session(tx))
		case kind < 7 && p.depth < 4:
			p.nested(p.session(tx))
		case kind == 7:
			savepoint := name()
			p.log("savepoint %s", savepoint)
			p.session(tx).SavePoint(savepoint)
		case kind == 8:
			savepoint := name()
			p.log("rollback to %s", savepoint)
			p.session(tx).RollbackTo(savepoint)
		default:
			savepoint := name()
			p.log("release %s: %v", savepoint, p.session(tx).Exec("RELEASE "+savepoint).Error)
		}
	}
}

func (p *program) nested(tx *gorm.DB) {
	end := max(0, p.rng.IntN(4)-1)
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

// write runs one statement; some fail.
func (p *program) write(db *gorm.DB) {
	id, board, title := uint(1+p.rng.IntN(6)), uint(1+p.rng.IntN(3)), string(rune('k'+p.rng.IntN(4)))
	row := ticket{ID: id, BoardID: board, Title: title}
	kind := p.rng.IntN(14)
	var err error
	switch kind {
	case 0, 1:
		err = db.Create(&row).Error
	case 2:
		err = db.Create(&[]ticket{{BoardID: board, Title: title}, {BoardID: board}}).Error
	case 3:
		err = db.Save(&row).Error
	case 4:
		err = db.Model(&ticket{ID: id}).Update("title", title).Error
	case 5:
		err = db.Model(&ticket{ID: id}).Updates(ticket{BoardID: board}).Error
	case 6:
		err = db.Model(&ticket{}).Where("board_id = ?", board).Update("title", title).Error
	case 7:
		err = db.Delete(&ticket{ID: id}).Error
	case 8:
		err = db.Where("title = ?", title).Delete(&ticket{}).Error
	case 9:
		err = db.Delete(&[]ticket{{ID: id}, {ID: id + 1}}).Error
	case 10:
		err = db.Clauses(clause.OnConflict{DoNothing: true}).Create(&[]ticket{row, {ID: id + 1, BoardID: board}}).Error
	case 11:
		err = db.Save(&[]ticket{row, {ID: id + 1, BoardID: board}}).Error
	case 12:
		_, err = gorm.G[ticket](db).Where("id = ?", id).Update(context.Background(), "board_id", board)
	case 13:
		err = db.Model(&[]ticket{{ID: id}, {ID: id + 1}}).UpdateColumn("title", gorm.Expr("title || ?", title)).Error
	}
	p.log("write %d of id %d, board %d, title %s: %v", kind, id, board, title, err)
}
