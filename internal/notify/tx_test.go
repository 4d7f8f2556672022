package notify

import (
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rohrpost/rohrpost/internal/capture"
	"github.com/rohrpost/rohrpost/internal/sqlitetest"
	"github.com/rohrpost/rohrpost/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

// sink is what stands for the hub.
type sink struct {
	changes            []wire.Change
	logs               strings.Builder
	skipped, untracked atomic.Uint64
}

func (s *sink) notifier(publish func([]wire.Change) error) *Notifier {
	return New(Config{
		Publish: publish, HasMembersOrHistory: func(string) bool { return true }, Markers: markers,
		Log: slog.New(slog.NewTextHandler(&s.logs, nil)), Skipped: &s.skipped, Untracked: &s.untracked,
	})
}

// end ends a transaction.
func end(tx *Tx, o capture.Outcome) {
	tx.End(o)
	tx.Finish(false)
}

func (s *sink) take(changes []wire.Change) error {
	s.changes = append(s.changes, changes...)
	return nil
}

// Above 10,000 changes a transaction keeps nothing but the groups that they may be for,
// and the functions in their savepoints.
func TestOverflow(t *testing.T) {
	s := &sink{}
	tx := s.notifier(s.take).Begin(t.Context(), nil).(*Tx)
	m := modelOf(t, &columnModel{})
	called := 0
	tx.AfterCommit(func() { called++ })
	mark := tx.Mark()
	tx.AfterCommit(func() { t.Error("rolled back") })
	for range maxChanges {
		tx.add(txEntry{model: m, change: wire.Change{Group: "board-1", Type: wire.Create}})
	}
	assert.False(t, tx.Overflowed())
	tx.Add([]wire.Change{{Group: "g", Type: wire.Create}})
	assert.True(t, tx.Overflowed())
	assert.Len(t, tx.entries, 2, "the functions")
	tx.addResyncs(m, "rows")
	assert.Equal(t, []string{"board-{board_id}", "{any}"}, tx.overflow)
	tx.RollBackTo(mark)
	assert.Len(t, tx.entries, 1)

	end(tx, capture.Committed)
	assert.Equal(t, 1, called)
	assert.Equal(t, []wire.Change{wire.NewResync("board-{board_id}", "rows"), wire.NewResync("{any}", "rows")}, s.changes)
}

func TestRollBackTo(t *testing.T) {
	s := &sink{}
	tx := s.notifier(s.take).Begin(t.Context(), nil).(*Tx)
	add := func(group string) { tx.Add([]wire.Change{{Group: group, Type: wire.Create}}) }
	add("a")
	outer := tx.Mark()
	add("b")
	inner := tx.Mark()
	add("c")
	tx.RollBackTo(inner)
	add("d")
	tx.RollBackTo(inner)
	tx.RollBackTo(outer)
	add("e")
	assert.Equal(t, 2, tx.changes)
	end(tx, capture.Committed)
	assert.Equal(t, []wire.Change{{Group: "a", Type: wire.Create}, {Group: "e", Type: wire.Create}}, s.changes)
}

func TestOutcomes(t *testing.T) {
	a, b := wire.Change{Group: "a", Type: wire.Create}, wire.Change{Group: "b", Type: wire.Delete}
	for outcome, want := range map[capture.Outcome][]wire.Change{
		capture.Committed:  {a, b, a},
		capture.RolledBack: nil,
		capture.InDoubt:    {wire.NewResync("a", "commit"), wire.NewResync("b", "commit")},
	} {
		s := &sink{}
		tx := s.notifier(s.take).Begin(t.Context(), nil).(*Tx)
		called := false
		tx.AfterCommit(func() { called = true })
		tx.Add([]wire.Change{a, b, a})
		end(tx, outcome)
		assert.Equal(t, want, s.changes)
		assert.Equal(t, outcome == capture.Committed, called)
	}
}

// Neither a panic of the hub nor one of a function keeps a function of AfterCommit from
// running.
func TestPanicsWhilePublishing(t *testing.T) {
	s := &sink{}
	tx := s.notifier(func(changes []wire.Change) error {
		s.changes = changes
		panic("broken")
	}).Begin(t.Context(), nil).(*Tx)
	called := false
	tx.add(txEntry{model: modelOf(t, &plainModel{}), key: "1", change: wire.Change{Group: "a", Type: wire.Create}})
	tx.AfterCommit(func() { panic("no function today") })
	tx.Add([]wire.Change{{Group: "b", Type: wire.Create}})
	tx.AfterCommit(func() { called = true })
	end(tx, capture.Committed)
	assert.Len(t, s.changes, 2, "in one Publish")
	assert.EqualValues(t, 2, s.skipped.Load())
	assert.Contains(t, s.logs.String(), "model=plainmodel key=1")
	assert.Contains(t, s.logs.String(), "no function today")
	assert.True(t, called)
}

// A transaction that was overtaken sends a resync to each of its groups, once.
func TestOvertaken(t *testing.T) {
	s := &sink{}
	tx := s.notifier(s.take).Begin(t.Context(), nil).(*Tx)
	a, b := wire.Change{Group: "a", Type: wire.Create}, wire.Change{Group: "b", Type: wire.Delete}
	tx.Add([]wire.Change{a, b, a})
	var seen int
	tx.AfterCommit(func() { seen = len(s.changes) })
	tx.End(capture.Committed)
	assert.Equal(t, []wire.Change{a, b, a}, s.changes)
	tx.Finish(true)
	assert.Equal(t, []wire.Change{wire.NewResync("a", "order"), wire.NewResync("b", "order")}, s.changes[3:])
	assert.Equal(t, 5, seen, "the functions run last")
}

// slowModel has a method that runs until it is told to return.
type slowModel struct {
	OnChange
	ID uint
}

var releaseSlow chan struct{} // the method gets nothing but columns

func (slowModel) GroupName(string) string {
	<-releaseSlow
	return "slow"
}

// A method that waits for the connection of its own transaction is named in the log.
func TestSlowMethods(t *testing.T) {
	releaseSlow = make(chan struct{})
	logs := &releasing{release: releaseSlow}
	s := &sink{}
	n := s.notifier(s.take)
	n.config.Log, n.config.Patience = slog.New(slog.NewTextHandler(logs, nil)), time.Millisecond
	db := sqlitetest.Open(t, gorm.Config{})
	require.NoError(t, db.AutoMigrate(&slowModel{}))
	require.NoError(t, db.Use(capture.New(n, n.config.Log)))
	require.NoError(t, db.Create(&slowModel{ID: 1}).Error)
	assert.Contains(t, logs.String(), "a method of the model still runs")
	assert.Contains(t, logs.String(), "model=slowmodel")
	assert.Len(t, s.changes, 1)
}

// Many calls share a timer: each is named once, when it has run for long enough.
func TestManySlowMethods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logs := make(lines, 10)
		n := New(Config{Log: slog.New(slog.NewTextHandler(logs, nil))})
		begin := func(name string) *watchedCall { return n.watch(&model{table: &capture.Table{Name: name}}) }
		named := func() (names []string) {
			time.Sleep(time.Nanosecond) // the timer comes first
			synctest.Wait()
			for len(logs) > 0 {
				_, name, _ := strings.Cut(<-logs, "model=")
				names = append(names, strings.TrimSpace(name))
			}
			return names
		}
		n.endWatch(begin("quick"))
		one := begin("one")
		time.Sleep(time.Second)
		two := begin("two")
		n.endWatch(begin("quick"))
		time.Sleep(time.Second)
		assert.Equal(t, []string{"one"}, named())
		time.Sleep(time.Second)
		assert.Equal(t, []string{"two"}, named())
		n.endWatch(one)
		n.endWatch(two)
		time.Sleep(time.Minute)
		assert.Empty(t, named())
		assert.False(t, n.watched.timed, "nothing is left")
		three := begin("three")
		time.Sleep(2 * time.Second)
		assert.Equal(t, []string{"three"}, named(), "it begins again")
		n.endWatch(three)
		assert.Empty(t, n.watched.calls)
	})
}

// lines are those of a log.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

// releasing closes a channel when something is logged.
type releasing struct {
	strings.Builder
	release chan struct{}
}

func (r *releasing) Write(p []byte) (int, error) {
	defer close(r.release)
	return r.Builder.Write(p)
}
