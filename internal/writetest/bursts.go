package writetest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rohrpost/rohrpost"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Counter counts its writes, in the statements themselves.
type Counter struct {
	rohrpost.NotifyOnChange `rohrpost:"group:board-{board};rows:10000"`
	ID                      uint `gorm:"autoIncrement:false"`
	Version                 int
	Board                   int
}

// PushNotificationData implements rohrpost.PayloadProvider.
func (c Counter) PushNotificationData([]string, string) any {
	return map[string]any{"id": c.ID, "version": c.Version}
}

// Bursts lets writers write a few rows at once, in every way and in every mode. The
// published versions of a row must rise, and a page that applies them and loads the rows
// again at a resync must end with the rows of the database.
func Bursts(t *testing.T, e Engine, count int, first uint64) {
	for mode, config := range modes {
		t.Run(mode, func(t *testing.T) {
			b := e.openBursts(t, config)
			errors := map[string]int{}
			for i := range uint64(count / len(modes)) {
				run := burst{bench: b, engine: e, rng: rand.New(rand.NewPCG(first+i, 1)), sorted: i%2 == 1, errors: errors}
				if problem := run.run(t); problem != "" {
					t.Fatalf("burst of seed %d: %s\nlog: %s", first+i, problem, b.logs)
				}
			}
			t.Logf("failed transactions: %v", errors)
		})
	}
}

// openBursts opens a database whose COMMITs are held up for a moment at random, and whose
// answers are lost now and then.
func (e Engine) openBursts(t *testing.T, config gorm.Config) *bench {
	slow := e
	slow.Open = func(tb testing.TB, config gorm.Config) *gorm.DB {
		db := e.Open(tb, config)
		switch pool := db.ConnPool.(type) {
		case *sql.DB:
			db.ConnPool = &unreliablePool{pool}
		case *gorm.PreparedStmtDB:
			pool.ConnPool = &unreliablePool{pool.ConnPool.(*sql.DB)}
		}
		db.Statement.ConnPool = db.ConnPool
		return db
	}
	b := slow.open(t, config, rohrpost.PluginConfig{})
	require.NoError(t, b.db.AutoMigrate(&Counter{}))
	return b
}

// unreliablePool begins transactions whose COMMIT takes a moment.
type unreliablePool struct{ *sql.DB }

// BeginTx implements gorm.ConnPoolBeginner.
func (p *unreliablePool) BeginTx(ctx context.Context, options *sql.TxOptions) (gorm.ConnPool, error) {
	tx, err := p.DB.BeginTx(ctx, options)
	return &unreliableTx{tx}, err
}

// GetDBConn implements gorm.GetDBConnector.
func (p *unreliablePool) GetDBConn() (*sql.DB, error) { return p.DB, nil }

type unreliableTx struct{ *sql.Tx }

// Commit implements gorm.TxCommitter.
func (tx *unreliableTx) Commit() error {
	holdUp()
	err := tx.Tx.Commit()
	holdUp()
	if err == nil && rand.IntN(200) == 0 {
		return driver.ErrBadConn // the answer is lost
	}
	return err
}

func holdUp() {
	if rand.IntN(4) == 0 {
		time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
	}
}

// burst is what eight writers do at once.
type burst struct {
	*bench
	engine Engine
	rng    *rand.Rand
	rows   int
	sorted bool // all take the rows in one order, so that nothing deadlocks without the plugin

	mu       sync.Mutex
	errors   map[string]int
	deadlock string
}

func (r *burst) run(t *testing.T) (problem string) {
	r.rows = 1 + r.rng.IntN(10)
	quiet := r.withoutNotify()
	require.NoError(t, quiet.Exec("DELETE FROM counters").Error)
	seeds := make([]Counter, r.rows)
	for i := range seeds {
		seeds[i] = Counter{ID: uint(i + 1), Version: 1, Board: i % 2}
	}
	r.note(r.db.Create(&seeds).Error) // at worst its answer is lost
	var writers sync.WaitGroup
	for range 8 {
		rng := rand.New(rand.NewPCG(r.rng.Uint64(), 0))
		writers.Go(func() {
			for range 3 {
				r.note(r.write(rng))
			}
		})
	}
	writers.Wait()
	if r.sorted && r.deadlock != "" {
		return "a deadlock of the plugin: " + r.deadlock
	}
	var rows []Counter
	require.NoError(t, quiet.Find(&rows).Error)
	return r.judge(rows)
}

// note counts the errors of the database.
func (r *burst) note(err error) {
	if err == nil {
		return
	}
	text, _, _ := strings.Cut(err.Error(), "(")
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errors[text]++
	if strings.Contains(strings.ToLower(err.Error()), "deadlock") {
		r.deadlock = err.Error()
	}
}

// write runs one transaction, or one statement without one.
func (r *burst) write(rng *rand.Rand) error {
	db := r.db.Session(&gorm.Session{PrepareStmt: rng.IntN(4) == 0, SkipDefaultTransaction: rng.IntN(2) == 0})
	last := uint(0)
	if rng.IntN(2) == 0 {
		return r.statement(rng, db, &last)
	}
	options := &sql.TxOptions{}
	if r.engine.SQL == "postgres" && rng.IntN(4) == 0 {
		options.Isolation = sql.LevelSerializable
	}
	return db.Transaction(func(tx *gorm.DB) error {
		for range 1 + rng.IntN(3) {
			if rng.IntN(4) == 0 {
				_ = tx.Transaction(func(tx *gorm.DB) error { _ = r.statement(rng, tx, &last); return errWanted })
			}
			if err := r.statement(rng, tx, &last); err != nil {
				return err
			}
		}
		if rng.IntN(8) == 0 {
			return errWanted
		}
		return nil
	}, options)
}

// statement writes one row or several. Sorted ones write one row, and none before the last.
func (r *burst) statement(rng *rand.Rand, db *gorm.DB, last *uint) error {
	id, kind, more := uint(1+rng.IntN(r.rows)), rng.IntN(7), gorm.Expr("version + 1")
	if r.sorted {
		id, kind = max(id, *last), 2+4*rng.IntN(2)
		*last = id
	}
	switch kind {
	case 0:
		return db.Model(&Counter{}).Where("id >= ?", id).Update("version", more).Error
	case 1:
		return db.Model(&Counter{}).Where("board = ?", rng.IntN(2)).Update("version", more).Error
	case 2:
		return db.Model(&Counter{ID: id}).Updates(map[string]any{"version": more, "board": rng.IntN(2)}).Error
	case 3:
		return db.Clauses(clause.OnConflict{
			Columns:   []clause.Column{{Name: "id"}},
			DoUpdates: clause.Assignments(map[string]any{"version": gorm.Expr("counters.version + 1")}),
		}).Create(&Counter{ID: id, Version: 1}).Error
	case 4:
		return db.Transaction(func(tx *gorm.DB) error { return r.recreate(tx, id) })
	}
	if rng.IntN(3) == 0 {
		db = db.Table("counters AS c")
	}
	return db.Model(&Counter{ID: id}).Update("version", more).Error
}

// recreate deletes a row and creates it with the next version.
func (r *burst) recreate(tx *gorm.DB, id uint) error {
	if updated := tx.Model(&Counter{ID: id}).Update("version", gorm.Expr("version + 1")); updated.RowsAffected == 0 {
		return updated.Error
	}
	var old []Counter
	if err := tx.Find(&old, "id = ?", id).Error; err != nil || len(old) == 0 {
		return err
	}
	if err := tx.Delete(&Counter{ID: id}).Error; err != nil {
		return err
	}
	return tx.Create(&Counter{ID: id, Version: old[0].Version + 1, Board: old[0].Board}).Error
}

// isOvertaken reports whether a change says that a later transaction came first.
func isOvertaken(change rohrpost.Change) bool {
	return change.Type == rohrpost.Resync && strings.Contains(string(change.Object.(json.RawMessage)), `"order"`)
}

// judge replays what was published on a page.
func (r *burst) judge(rows []Counter) (problem string) {
	type shown struct{ Version, Board int }
	page, highest, loaded := map[uint]shown{}, map[uint]int{}, map[uint]bool{}
	published := r.recorder.Published()
	overtaken := slices.ContainsFunc(published, isOvertaken) // a COMMIT took a second, on a machine that has much to do
	if overtaken {
		r.errors["overtaken"]++
	}
	r.recorder.Reset()
	for _, change := range published {
		var object struct {
			ID      uint
			Version int
		}
		_ = json.Unmarshal(change.Object.(json.RawMessage), &object)
		var board int
		_, _ = fmt.Sscanf(change.Group, "board-%d", &board)
		switch {
		case change.Type == rohrpost.Resync: // the page loads all rows, some time later
			for id := range uint(r.rows) {
				loaded[id+1] = true
			}
			continue
		case object.Version < highest[object.ID] && !overtaken:
			return fmt.Sprintf("row %d: version %d is published after %d: %s", object.ID, object.Version, highest[object.ID], lines(published))
		}
		highest[object.ID] = object.Version
		loaded[object.ID] = false
		if change.Type != rohrpost.Delete {
			page[object.ID] = shown{object.Version, board}
		} else if page[object.ID].Board == board {
			delete(page, object.ID)
		}
	}
	for _, row := range rows {
		if got := page[row.ID]; !loaded[row.ID] && got != (shown{row.Version, row.Board}) {
			return fmt.Sprintf("row %d: the page shows %v, the database %v", row.ID, got, row)
		}
	}
	return ""
}
