package writetest

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rohrpost/rohrpost"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

const preamble = `# Every way of writing, and what the plugin sends

The tests generate this table and run each line on each database. "go test -run TestWritesDocument -update ." in internal/integration writes
it; without -update the same test fails where it differs from this page.

Each cell says how many statements the plugin adds, in a transaction or with GORM's default one. If a statement has no transaction
(SkipDefaultTransaction), the plugin adds one: BEGIN and COMMIT besides. "MySQL" is MariaDB without RETURNING, which is what MySQL offers. The
methods of gorm.G are listed under G; the data access objects that gorm.io/gen generates call the methods of DB, and are sent like them.

- **+n**: the changes are exact, with n more statements.
- **+n, a resync**: the plugin cannot know the changed rows. All groups that they may concern load their snapshot again.
- **+n ¹**: a note at the end says when the changes are not exact.
- **-**: GORM has no such statement for this database.

Not counted: before the first write to a table for which the plugin must read rows, it asks the database for the columns, types and unique indexes
of the table, by two statements. It then lists the columns that it reads by name.

- If a column is added or gets a wider type while the program runs, all writes succeed as without the plugin.
- If a column of the model is dropped or renamed, the next write that needs RETURNING fails on PostgreSQL in a transaction of the program or of GORM.
  Then the plugin knows the table again. Outside a transaction, and on other databases, the plugin repeats the statement without RETURNING and sends a
  resync.
- The plugin knows at once what the program itself defines by raw SQL or by Migrator. It does not know a unique index of another program until the
  program starts again.

A created row is sent as the table keeps it. Times are rounded and put into the zone of a read without a statement. A decimal, a padded text, a date
and a key that the database spells otherwise cost one SELECT more, which the tag option "reread:false" avoids. Columns that the model never reads are
in no object, and fields that are not columns are empty.

A model whose marker lists columns (payload) tells an update from its own statement: nothing is read for an update by key whose group depends on the
key or on nothing. Only a column is read back that the table keeps otherwise, that gorm.Expr computes, or that the database makes (gorm:"->"). A
trigger that changes a listed column cannot be seen: use the tag option "reread:true", with which everything is read back.

A resync takes the place of rows that cannot be known: a row that the model refuses to scan, a key that the database made and does not return, an
upsert that meets an index of an expression, a write through a view with triggers or a virtual table.

The limits of the table:

- The rows of a join table of a many-to-many association without a model are not sent: give it a model with a marker by SetupJoinTable, or use Notify.
- The plugin does not see what the database does by itself: ON DELETE CASCADE, triggers, generated values that change with an update.
- On MySQL an update sends all rows that it met as soon as one of them has changed.
- An ON CONFLICT DO UPDATE WHERE, or an INSERT OR REPLACE, that writes the existing values sends nothing.
- An INSERT OR FAIL that fails in a transaction of the program keeps the rows before the one that failed: they are not sent.
- On MySQL a row that another transaction has created just before an upsert met it may be sent as created. SQLite has only one writer. On
  PostgreSQL such a row is a resync.
- On PostgreSQL an update that may move rows, and that meets one which another transaction has just brought into its condition, is a resync: the
  former group of the row cannot be known.
- On PostgreSQL the plugin does not read a column that the program may not SELECT. If that column belongs to the key, a write is a resync.
- On PostgreSQL a write whose rows must be read before it is a resync where the program may not lock them, for which it needs the right to UPDATE
  some column, and where it names the row of a cursor (WHERE CURRENT OF).
- A model without a primary key needs a marker whose tag names the group by other columns, and a PushNotificationData method. Else none of its writes
  is sent: the plugin logs that once, and counts each of them in Stats.Skipped.

If a statement of the plugin fails, the write is done as without the plugin, and a resync is sent. The caller gets an error of the plugin's
statement only where the server has ended the transaction, or where the write would have met it too:

- MySQL: a deadlock (1213, 1020, 1206) and a lock time-out (1205). The server has rolled back, or may have. If the caller commits nevertheless, the
  groups of the transaction get a resync.
- SQLite: a full disk, an I/O error, and a lack of memory, which roll back.
- PostgreSQL: any error of the SELECT … FOR NO KEY UPDATE before a write, which locks what the write locks. The errors that the write itself would
  not meet are a statement_timeout that the SELECT exceeds and the write does not, a value of a view that cannot be computed, and a column that was
  dropped or renamed meanwhile. A function in the condition that has effects has them twice. The reads after a write are under a savepoint:
  SAVEPOINT is one of the counted statements. In a transaction of the program RELEASE is one more.
`

// Document renders doc/WRITES.md from what the engines do.
func Document(t *testing.T, engines []Engine) string {
	var text strings.Builder
	text.WriteString(preamble)
	cells := map[string][]string{}
	for _, e := range engines {
		for key, cell := range measure(t, e) {
			cells[key] = append(cells[key], cell)
		}
	}
	notes := []string{}
	for _, section := range []struct {
		title  string
		writes []write
	}{
		{"Create and update", writes},
		{"Models that list columns (payload)", listed},
		{"Upsert", upserts},
		{"Delete", deletes},
		{"Associations", associations},
		{"Writes that the plugin does not see", unseen},
	} {
		fmt.Fprintf(&text, "\n## %s\n\n| by | how | sent |", section.title)
		for _, e := range engines {
			fmt.Fprintf(&text, " %s |", e.Name)
		}
		text.WriteString("\n|" + strings.Repeat(" --- |", 3+len(engines)) + "\n")
		for _, w := range section.writes {
			fmt.Fprintf(&text, "| %s | %s | %s |", w.via, w.how, summary(w.want))
			for i, e := range engines {
				cell := cells[w.key()][i]
				if reason := w.reason(e); reason != "" && cell != "-" {
					if !slices.Contains(notes, reason) {
						notes = append(notes, reason)
					}
					cell += " " + string([]rune("¹²³")[slices.Index(notes, reason)])
				}
				fmt.Fprintf(&text, " %s |", cell)
			}
			text.WriteString("\n")
		}
	}
	text.WriteString("\nUse Notify for the changes of raw SQL.\n\n## Notes\n\n")
	for i, note := range notes {
		fmt.Fprintf(&text, "- %s %s\n", string([]rune("¹²³")[i]), note)
	}
	return text.String()
}

func (w write) key() string { return w.via + ", " + w.how }

func (w write) reason(e Engine) string {
	return cmp.Or(w.inexact[e.Name], w.inexact[e.SQL])
}

// summary returns the sent changes without their objects.
func summary(lines []string) string {
	if len(lines) == 0 {
		return "nothing"
	}
	var parts []string
	for _, line := range lines {
		words := strings.Fields(line)
		part := words[0] + " " + words[1]
		if fields := strings.TrimPrefix(line[strings.LastIndex(line, "}")+1:], " "); fields != "" {
			part += " (" + fields + ")"
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}

// measure runs the catalogue with and without the plugin and compares the number
// of statements.
func measure(t *testing.T, e Engine) map[string]string {
	bare := &bench{db: e.Open(t, gorm.Config{})}
	require.NoError(t, bare.db.AutoMigrate(models...))
	bareCount := count(bare.db)
	var withCount *atomic.Int64
	counted := e
	counted.Open = func(tb testing.TB, config gorm.Config) *gorm.DB {
		db := e.Open(tb, config)
		withCount = count(db)
		return db
	}
	with := counted.open(t, gorm.Config{}, rohrpost.PluginConfig{})
	cells := map[string]string{}
	for _, w := range all() {
		if !w.on(e) {
			cells[w.key()] = "-"
			continue
		}
		bare.reset(t, e)
		before := bareCount.Load()
		require.NoError(t, w.run(bare.db), w.key())
		needed := bareCount.Load() - before

		with.reset(t, e)
		require.NoError(t, w.run(with.db), w.key()) // the plugin asks once for the layout of a table
		with.reset(t, e)
		before = withCount.Load()
		require.NoError(t, w.run(with.db), w.key())
		cell := fmt.Sprintf("+%d", withCount.Load()-before-needed)
		if announced := with.take(); slices.ContainsFunc(announced, func(line string) bool { return strings.HasPrefix(line, "resync") }) {
			cell += ", a resync"
		}
		cells[w.key()] = cell
	}
	return cells
}

// count puts a pool that counts statements under the handle.
func count(db *gorm.DB) *atomic.Int64 {
	counter := &countingPool{DB: db.ConnPool.(*sql.DB), statements: &atomic.Int64{}}
	db.ConnPool, db.Statement.ConnPool = counter, counter
	return counter.statements
}

// countingPool counts the statements of a pool, BEGIN and COMMIT included.
type countingPool struct {
	*sql.DB
	statements *atomic.Int64
}

// BeginTx implements gorm.ConnPoolBeginner.
func (c *countingPool) BeginTx(ctx context.Context, options *sql.TxOptions) (gorm.ConnPool, error) {
	c.statements.Add(2)
	tx, err := c.DB.BeginTx(ctx, options)
	return &countingTx{tx, c.statements}, err
}

// GetDBConn implements gorm.GetDBConnector.
func (c *countingPool) GetDBConn() (*sql.DB, error) { return c.DB, nil }

// ExecContext implements gorm.ConnPool.
func (c *countingPool) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	c.statements.Add(1)
	return c.DB.ExecContext(ctx, query, args...)
}

// QueryContext implements gorm.ConnPool.
func (c *countingPool) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	c.statements.Add(1)
	return c.DB.QueryContext(ctx, query, args...)
}

type countingTx struct {
	*sql.Tx
	statements *atomic.Int64
}

// ExecContext implements gorm.ConnPool.
func (c *countingTx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	c.statements.Add(1)
	return c.Tx.ExecContext(ctx, query, args...)
}

// QueryContext implements gorm.ConnPool.
func (c *countingTx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	c.statements.Add(1)
	return c.Tx.QueryContext(ctx, query, args...)
}
