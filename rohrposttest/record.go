package rohrposttest

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/internal/capture"
	"github.com/rohrpost/rohrpost/internal/notify"
	"gorm.io/gorm"
)

// Recorder holds what the writes of a test have announced. Its methods may be
// called concurrently.
type Recorder struct {
	recording *notify.Recording
}

// Record captures until the end of the test what is announced,
//
//   - of a handle in a transaction: in this transaction, also if the test rolls
//     it back in the end; what was announced before has no objects;
//   - of a handle with a context made by Context: by the statements and
//     transactions that run under that context;
//   - of any other handle: by everything else that is written through it, by
//     whichever session.
//
// Without the plugin, Record uses one with a hub of its own; a test whose
// transaction has begun already cannot do without, and fails.
func Record(t testing.TB, db *gorm.DB) *Recorder {
	t.Helper()
	mine := scopeOf(db.Statement.Context)
	plugin := pluginOf(t, db)
	tx, err := plugin.Transaction(db)
	if err != nil {
		t.Fatalf("record: %v", err)
	}
	r := &Recorder{notify.Of(plugin).Record(tx, func(ctx context.Context) bool { return scopeOf(ctx) == mine })}
	t.Cleanup(r.recording.Stop)
	return r
}

// scopeKey is the key under which a context knows its scope.
type scopeKey struct{}

// Context returns the context of t, marked as a scope of its own: parallel tests
// that share a handle each record the writes under their own.
//
//	db := shared.WithContext(rohrposttest.Context(t))
//	rec := rohrposttest.Record(t, db)
func Context(t testing.TB) context.Context {
	return context.WithValue(t.Context(), scopeKey{}, new(byte))
}

func scopeOf(ctx context.Context) any {
	if ctx == nil {
		return nil
	}
	return ctx.Value(scopeKey{})
}

func pluginOf(t testing.TB, db *gorm.DB) *capture.Plugin {
	t.Helper()
	if plugin := capture.PluginOf(db); plugin != nil {
		return plugin
	}
	if _, running := db.Statement.ConnPool.(gorm.TxCommitter); running {
		t.Fatal("record: the transaction has begun without the plugin; call db.Use(rohrpost.Plugin(hub)) where the database is opened")
	}
	if err := db.Use(rohrpost.Plugin(rohrpost.NewHub(rohrpost.Config{}))); err != nil {
		t.Fatalf("record: use the plugin: %v", err)
	}
	return capture.PluginOf(db)
}

// Sent returns what was announced, in order: what has committed or, in a
// transaction, what would be sent if it committed now; after a rollback, if it
// had committed instead. Objects are json.RawMessage.
func (r *Recorder) Sent() (changes []rohrpost.Change) {
	for _, change := range r.recording.Sent() {
		changes = append(changes, encoded(rohrpost.Change(change)))
	}
	return changes
}

// Published returns what was really announced: of a transaction that was rolled
// back, or still runs, nothing.
func (r *Recorder) Published() (changes []rohrpost.Change) {
	for _, change := range r.recording.Published() {
		changes = append(changes, encoded(rohrpost.Change(change)))
	}
	return changes
}

// encoded gives the object the form that the objects of models have already.
func encoded(change rohrpost.Change) rohrpost.Change {
	if text, err := json.Marshal(change.Object); err == nil {
		change.Object = json.RawMessage(text)
	}
	return change
}

// Reset forgets what was announced so far.
func (r *Recorder) Reset() { r.recording.Reset() }

// AssertSent reports an error unless a change of the type was announced to the
// group that all matchers accept, and shows what was, nearest first. The type is
// rohrpost.Create, Update, Delete or Resync.
func (r *Recorder) AssertSent(t testing.TB, group, changeType string, matchers ...Matcher) bool {
	t.Helper()
	want := expectation{group: group, changeType: changeType, matchers: matchers}
	sent := r.Sent()
	if problem := want.count(sent); problem != "" {
		t.Errorf("%s: %s\n%s", problem, want.describe(), want.nearest(sent))
		return false
	}
	return true
}

// AssertNothing reports an error if anything was announced to one of the groups,
// or without groups anything at all.
func (r *Recorder) AssertNothing(t testing.TB, groups ...string) bool {
	t.Helper()
	var lines []string
	for _, change := range r.Sent() {
		if len(groups) == 0 || slices.Contains(groups, change.Group) {
			lines = append(lines, describe(change))
		}
	}
	if len(lines) > 0 {
		t.Errorf("nothing was to be sent, but this was:\n%s", numbered(lines))
	}
	return len(lines) == 0
}

// numbered are the first lines of a report.
func numbered(lines []string) string {
	const most = 10
	var text strings.Builder
	for i, line := range lines {
		if i == most {
			text.WriteString("  … and " + strconv.Itoa(len(lines)-most) + " more\n")
			break
		}
		text.WriteString("  " + strconv.Itoa(i+1) + ". " + line + "\n")
	}
	return text.String()
}
