package capture

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rohrpost/rohrpost/internal/sqlitetest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"
)

var orderRuns = flag.Int("orders", 300, "random runs of TestCommitOrder")

// Imitated transactions write rows under locks that last until COMMIT takes effect, a
// moment after it was sent and a moment before it is answered. Some COMMITs are held up,
// refused or lost, or panic. A page that applies the changes and loads the rows again at a
// resync must end with the rows.
func TestCommitOrder(t *testing.T) {
	t.Run("a COMMIT that is held up", func(t *testing.T) { synctest.Test(t, testHeldUp) })
	t.Run("a chain that is overtaken", func(t *testing.T) { synctest.Test(t, testChain) })
	for seed := range uint64(*orderRuns) {
		synctest.Test(t, func(t *testing.T) {
			run := newOrderRun(seed)
			var writers sync.WaitGroup
			for range 8 {
				writer := rand.New(rand.NewPCG(seed, run.rng.Uint64()))
				writers.Go(func() {
					for range 5 {
						run.transaction(writer)
					}
				})
			}
			writers.Wait()
			require.Empty(t, run.problems, "seed %d", seed)
			require.Equal(t, run.rows, run.page, "seed %d", seed)
			require.Empty(t, run.publisher.order.last, "all have left")
		})
	}
}

// testHeldUp holds up the COMMIT of one row, and looks who waits for it.
func testHeldUp(t *testing.T) {
	r := newOrderRun(0)
	held := r.begin(&imitation{before: time.Hour})
	held.wrote(statementOf(r.tables[0], "1", "2"))
	held.setSavepoint("s")
	held.wrote(statementOf(r.tables[0], "3"))
	held.rollBackTo("s")
	var done sync.WaitGroup
	defer done.Wait()
	done.Go(func() { assert.NoError(t, held.Commit()) })
	synctest.Wait()
	for _, test := range []struct {
		name  string
		wrote *Statement
		waits bool
	}{
		{"another row", statementOf(r.tables[0], "4"), false},
		{"another table", statementOf(r.tables[1], "1", "2"), false},
		{"a row that was rolled back", statementOf(r.tables[0], "3"), false},
		{"no row", statementOf(r.tables[0]), false},
		{"the second row", statementOf(r.tables[0], "2"), true},
	} {
		tx := r.begin(&imitation{})
		tx.wrote(test.wrote)
		began := time.Now()
		assert.NoError(t, tx.Commit())
		assert.Equal(t, map[bool]time.Duration{true: maxWait}[test.waits], time.Since(began).Truncate(time.Millisecond), test.name)
	}
	assert.True(t, held.turn.overtaken)
	tx := r.begin(&imitation{})
	tx.wrote(statementOf(r.tables[0], "1", "2"))
	began := time.Now()
	assert.NoError(t, tx.Commit())
	assert.Less(t, time.Since(began), maxWait/2, "nobody waits for what was overtaken")
}

// testChain overtakes a refused COMMIT that itself waits for another.
func testChain(t *testing.T) {
	r := newOrderRun(0)
	var done sync.WaitGroup
	defer done.Wait()
	var chain []*trackedTx
	for _, i := range []*imitation{
		{after: maxWait * 3 / 2},
		{after: maxWait * 9 / 10, outcome: "refused"},
		{},
	} {
		tx := r.begin(i)
		tx.wrote(statementOf(r.tables[0], "1"))
		chain = append(chain, tx)
		done.Go(func() { _ = tx.Commit() })
		synctest.Wait()
	}
	time.Sleep(maxWait * 11 / 10)
	r.publisher.order.mu.Lock()
	defer r.publisher.order.mu.Unlock()
	assert.True(t, chain[0].turn.overtaken, "the first publishes after the last")
}

func (r *orderRun) begin(i *imitation) *trackedTx {
	i.run = r
	tx := newTrackedTx(context.Background(), i, nil, r.publisher, func() {})
	tx.transaction()
	return tx
}

func statementOf(table *Table, keys ...string) *Statement {
	s := &Statement{Table: table, tableName: table.schema.Table}
	for _, key := range keys {
		s.Rows = append(s.Rows, Row{Key: Key{text: key, json: key}})
	}
	return s
}

// orderRun is one imitated database, and the page that follows it.
type orderRun struct {
	publisher *publisher
	rng       *rand.Rand
	slow      bool      // some COMMITs take longer than others wait
	tables    [3]*Table // the last two are models of one table
	locks     map[rowID]chan struct{}

	mu       sync.Mutex
	rows     map[rowID]int // as they were committed
	page     map[rowID]int
	next     int
	problems []string
}

func newOrderRun(seed uint64) *orderRun {
	r := &orderRun{rng: rand.New(rand.NewPCG(seed, 0)), rows: map[rowID]int{}, page: map[rowID]int{}, locks: map[rowID]chan struct{}{}}
	r.slow = seed%3 == 0
	r.publisher = &publisher{consumer: r}
	for i, name := range []string{"lists", "tasks", "tasks"} {
		r.tables[i] = &Table{schema: &schema.Schema{Table: name}}
		for key := range 3 {
			r.locks[rowID{name, strconv.Itoa(key)}] = make(chan struct{}, 1)
		}
	}
	return r
}

func (r *orderRun) Interest(*Table) (Interest, error) { return nil, nil }

func (r *orderRun) Begin(context.Context, Store) Transaction { return &orderTx{run: r} }

func (r *orderRun) Missed(*Table, Operation, error) {}

func (r *orderRun) problem(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problems = append(r.problems, fmt.Sprintf(format, args...))
}

// transaction runs one random transaction.
func (r *orderRun) transaction(rng *rand.Rand) {
	time.Sleep(time.Duration(rng.IntN(50)) * time.Millisecond)
	i := &imitation{values: map[rowID]int{}, before: brief(rng), after: brief(rng)}
	tx := r.begin(i)
	kept := tx.transaction().(*orderTx)
	model := 1 + rng.IntN(2)
	for _, table := range [][]*Table{r.tables[:1], r.tables[model : model+1], {r.tables[0], r.tables[model]}}[rng.IntN(3)] {
		for key := range 3 {
			if rng.IntN(2) == 0 {
				r.write(rng, tx, i, kept, table, strconv.Itoa(key))
			}
		}
	}
	switch rng.IntN(12) {
	case 0:
		i.outcome = "refused"
	case 1:
		i.outcome = "lost"
	case 2:
		i.outcome = "panic"
	case 3:
		_ = tx.Rollback()
		return
	}
	if r.slow && rng.IntN(6) == 0 {
		i.before, i.after = []time.Duration{0, 3 * time.Second}[rng.IntN(2)], 2*time.Second
	}
	if rng.IntN(4) == 0 && !r.slow {
		kept.calls = append(kept.calls, func() { r.again(rng, kept) })
	}
	r.commit(tx, i)
}

func (r *orderRun) commit(tx *trackedTx, i *imitation) {
	defer func() { _ = recover() }()
	began := time.Now()
	var second sync.WaitGroup
	second.Go(func() {
		time.Sleep(i.before + i.after/2 + 1) // in a bubble: after the first Commit has begun
		if err := tx.Commit(); !errors.Is(err, sql.ErrTxDone) {
			r.problem("a second Commit: %v", err)
		}
	})
	defer second.Wait()
	_ = tx.Commit()
	if took := time.Since(began); took > i.before+i.after+maxWait+100*time.Millisecond {
		r.problem("a COMMIT took %v", took)
	}
}

// write writes a row, in a savepoint that may be rolled back, in one statement that may
// not tell its rows.
func (r *orderRun) write(rng *rand.Rand, tx *trackedTx, i *imitation, kept *orderTx, table *Table, key string) {
	row := rowID{table.schema.Table, key}
	r.locks[row] <- struct{}{}
	r.mu.Lock()
	r.next++
	value := r.next
	r.mu.Unlock()
	undone := rng.IntN(8) == 0
	if tx.setSavepoint("s"); !undone {
		i.values[row] = value
	} else if i.values[row] = r.committed(row); i.values[row] == 0 {
		delete(i.values, row)
		defer func() { <-r.locks[row] }()
	}
	statement := statementOf(table, key)
	if rng.IntN(8) == 0 {
		statement = statementOf(table)
		statement.Unknown = ErrManyRows
	}
	tx.wrote(statement)
	kept.changes = append(kept.changes, orderChange{row, value})
	if undone {
		tx.rollBackTo("s")
	}
}

func (r *orderRun) committed(row rowID) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rows[row]
}

// again commits one of the rows from a function of AfterCommit: the transaction that calls
// it has left, so that nothing waits for it.
func (r *orderRun) again(rng *rand.Rand, done *orderTx) {
	if len(done.changes) == 0 {
		return
	}
	row := done.changes[rng.IntN(len(done.changes))].row
	for _, table := range r.tables {
		if table.schema.Table != row.table {
			continue
		}
		i := &imitation{values: map[rowID]int{}}
		tx := r.begin(i)
		r.write(rng, tx, i, tx.transaction().(*orderTx), table, row.key)
		began := time.Now()
		_ = tx.Commit()
		if took := time.Since(began); took > maxWait/2 {
			r.problem("a commit in a function of AfterCommit took %v", took)
		}
	}
}

func brief(rng *rand.Rand) time.Duration { return time.Duration(rng.IntN(20)) * time.Millisecond }

// card is announced by its key.
type card struct {
	ID    uint
	Title string
}

// keyed wants the keys of all rows.
type keyed struct{ *orderRun }

func (k keyed) Interest(*Table) (Interest, error) { return k, nil }

func (keyed) Wants(context.Context, Operation) Detail { return Keys }

func (keyed) WantsUpdate([]string) (Detail, bool) { return Keys, false }

func (keyed) Reads() []string { return nil }

func (keyed) Rereads() Reread { return RereadLossy }

func (keyed) Begin(context.Context, Store) Transaction { return nothingKept{} }

// nothingKept is a transaction of a consumer that keeps nothing.
type nothingKept struct{}

func (nothingKept) Captured(*Statement) {}
func (nothingKept) Overflowed() bool    { return false }
func (nothingKept) Mark() int           { return 0 }
func (nothingKept) RollBackTo(int)      {}
func (nothingKept) End(Outcome)         {}

func (nothingKept) Store(context.Context, gorm.ConnPool, bool) error { return nil }
func (nothingKept) Finish(bool)                                      {}

// A row has one place in the order, whatever a statement calls its table.
func TestOrderNames(t *testing.T) {
	db := sqlitetest.Open(t, gorm.Config{})
	require.NoError(t, db.AutoMigrate(&card{}))
	require.NoError(t, db.Create(&card{ID: 1}).Error)
	require.NoError(t, db.Use(New(keyed{newOrderRun(0)}, slog.New(slog.DiscardHandler))))
	for _, name := range []string{
		"", "cards", "CARDS", "cards AS c", "cards\tAS c", "main.cards", "main.cards AS c", "`cards`", "`main`.`cards` AS `c`",
		`"cards" AS c`,
	} {
		tx := db.Begin()
		write := tx.Model(&card{ID: 1})
		if name != "" {
			write = write.Table(name)
		}
		require.NoError(t, write.Update("title", name).Error, name)
		tracked, err := trackedTxOf(tx.Statement.ConnPool)
		require.NoError(t, err)
		assert.Equal(t, []rowID{{"cards", "1"}}, tracked.rows, name)
		require.NoError(t, tx.Commit().Error)
	}
	s := &Statement{Rows: []Row{{Key: Key{text: "1", json: "1"}}}}
	assert.Contains(t, s.appendIDs(nil), rowID{}, "a table whose name is not known: any row")
	only := &gorm.Statement{DB: db, TableExpr: &clause.Expr{SQL: `ONLY "public"."cards"`}, Table: "cards"}
	assert.Equal(t, "cards", orderName(only))
}

// BenchmarkCommitOrder is the cost of the order for a commit of one row.
func BenchmarkCommitOrder(b *testing.B) {
	var o commitOrder
	rows := []rowID{{"tasks", "7"}}
	var t turn
	b.ReportAllocs()
	for b.Loop() {
		t = turn{}
		o.enter(&t, rows)
		o.wait(&t)
		o.leave(&t)
	}
	assert.Empty(b, o.last)
}
