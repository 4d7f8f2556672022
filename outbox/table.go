package outbox

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// outboxRow is the batch of one commit. Its columns have names, whatever the naming strategy
// of the program.
type outboxRow struct {
	// The index has the rows without a number in the order of their ids.
	ID int64 `gorm:"column:id;primaryKey;autoIncrement;index:rohrpost_outbox_numbers,priority:2"`

	// Number is the number under which relays publish the row; null until one has given it.
	Number *int64 `gorm:"column:number;index:rohrpost_outbox_numbers,priority:1"`

	Batch   []byte `gorm:"column:batch;not null"`
	Created int64  `gorm:"column:created;not null"` // milliseconds since 1970
}

// TableName implements schema.Tabler.
func (outboxRow) TableName() string { return "rohrpost_outbox" }

// relayRow is the one row that relays share.
type relayRow struct {
	ID     int64  `gorm:"column:id;primaryKey;autoIncrement:false"`
	Source string `gorm:"column:source;size:100;not null"` // who numbers the batches

	// Floor is an id that was given out long ago. Transactions that got one up to it have
	// ended, or hang in their COMMIT.
	Floor int64 `gorm:"column:floor;not null"`

	// Owner is the relay of a hub without a broker, and Beats goes up while it lives.
	Owner string `gorm:"column:owner;size:100;not null"`
	Beats int64  `gorm:"column:beats;not null"`
}

// TableName implements schema.Tabler.
func (relayRow) TableName() string { return "rohrpost_outbox_relay" }

// Migrate makes the tables rohrpost_outbox and rohrpost_outbox_relay, where they are not
// there. New calls it. Call it in a deployment where the program itself may not make tables.
// Several processes may call it at the same time.
func Migrate(db *gorm.DB) error {
	db = db.Session(&gorm.Session{NewDB: true, Logger: logger.Discard})
	for _, model := range []any{&outboxRow{}, &relayRow{}} {
		var err error
		for range 3 { // the first one may lose a race, after which the table is there
			if db.Migrator().HasTable(model) {
				err = nil
				break
			}
			err = db.Migrator().CreateTable(model)
		}
		if err != nil && !db.Migrator().HasTable(model) {
			return fmt.Errorf("outbox: make a table: %w", err)
		}
	}
	var rows int64
	err := db.Model(&relayRow{}).Count(&rows).Error
	if err == nil && rows == 0 {
		err = db.Create(&relayRow{ID: 1, Source: newSource()}).Error
		if err != nil && db.Model(&relayRow{}).Count(&rows).Error == nil && rows == 1 {
			err = nil // another process has made it
		}
	}
	if err != nil {
		return fmt.Errorf("outbox: make the row of the relays: %w", err)
	}
	return nil
}

// newSource returns a name for the batches that no table has had.
func newSource() string { return "outbox-" + rand.Text() }

// table is the SQL of the tables, in the dialect of a database.
type table struct {
	pool      *sql.DB
	isMySQL   bool // each argument of a statement may cost it a round trip
	oneWriter bool // at a time
	locks     bool // a SELECT may lock a row

	// A planner that knows only few rows reads the whole table, with all deleted ones.
	isPostgres bool

	isolation sql.IsolationLevel
	limits    bool  // LIMIT has an argument
	counted   int64 // how many waiting rows are counted at most

	insertRow, lock, read, claim, beat, release string // of one row
	unnumbered, late, numbered                  string // SELECT some rows behind a key
	anyWaiting, newest, backlogOf               string // SELECT figures
	remove, empty, setFloor, setSource          string // change rows
	replaceRow, removeIDs, number               string
}

// The bounds of one round of a relay.
const (
	roundRows  = 1000
	roundBytes = 4 << 20
)

// newTable returns the table of a database. A count of its rows ends above most, if that is
// not negative.
func newTable(db *gorm.DB, most int64) (*table, error) {
	pool, err := db.DB()
	if err != nil {
		return nil, fmt.Errorf("the database handle has no *sql.DB: %w", err)
	}
	t := &table{pool: pool, isolation: sql.LevelReadCommitted, counted: math.MaxInt64}
	if most >= 0 && most < math.MaxInt64 {
		t.counted = most + 1
	}
	switch db.Dialector.Name() {
	case "postgres":
		t.locks, t.isPostgres = true, true
	case "mysql":
		t.locks, t.isMySQL = true, true
	case "sqlite":
		t.oneWriter, t.isolation = true, sql.LevelDefault
	}
	t.build(db.Session(&gorm.Session{NewDB: true, DryRun: true, Logger: logger.Discard, SkipDefaultTransaction: true}))
	return t, nil
}

// build makes the statements. GORM knows how the dialect writes arguments and limits.
func (t *table) build(db *gorm.DB) {
	exec := func(query string, args ...any) string { return db.Exec(query, args...).Statement.SQL.String() }
	rows := func(columns, order, where string) string {
		stmt := db.Model(&outboxRow{}).Select(columns).Where(where, 0).Order(order).Limit(roundRows).Find(&[]outboxRow{}).Statement
		t.limits = len(stmt.Vars) == 2
		return stmt.SQL.String()
	}
	const newest = "(SELECT COALESCE(MAX(number), 0) FROM rohrpost_outbox), (SELECT COALESCE(MAX(id), 0) FROM rohrpost_outbox)"
	t.insertRow = exec("INSERT INTO rohrpost_outbox (batch, created) VALUES (?, ?)", []byte{}, 0)
	t.read = "SELECT source, floor, owner, beats FROM rohrpost_outbox_relay WHERE id = 1"
	switch {
	case t.isPostgres: // the settings are those of the transaction
		t.lock = t.read + " AND set_config('enable_seqscan', 'off', true) || set_config('enable_bitmapscan', 'off', true) || " +
			"set_config('enable_sort', 'off', true) <> '' FOR UPDATE"
	case t.locks:
		t.lock = t.read + " FOR UPDATE"
	default:
		t.lock = "UPDATE rohrpost_outbox_relay SET beats = beats WHERE id = 1"
	}
	t.claim = exec("UPDATE rohrpost_outbox_relay SET owner = ?, beats = beats + 1 WHERE id = 1 AND owner = ? AND beats = ?", "", "", 0)
	t.release = exec("UPDATE rohrpost_outbox_relay SET owner = '' WHERE id = 1 AND owner = ?", "")
	t.beat = exec("UPDATE rohrpost_outbox_relay SET beats = beats + 1 WHERE id = 1 AND owner = ?", "")

	t.unnumbered = rows("id, batch, "+newest, "id", "number IS NULL AND id > ?")
	t.late = rows("id, batch", "id", "number IS NULL AND id <= ?")
	t.numbered = rows("number, batch", "number", "number > ?")

	t.anyWaiting = exec("SELECT CASE WHEN EXISTS (SELECT 1 FROM rohrpost_outbox WHERE number IS NULL AND id > ?) OR "+
		"EXISTS (SELECT 1 FROM rohrpost_outbox WHERE number > ?) THEN 1 ELSE 0 END", 0, 0)
	waiting := db.Model(&outboxRow{}).Select("id, created").Where("number IS NULL OR (number > ? AND batch <> ?)", 0, []byte{}).Limit(int(t.counted))
	t.backlogOf = db.Table("(?) AS waiting", waiting).Select("COUNT(*), COALESCE(MIN(created), 0)").Find(&[]outboxRow{}).Statement.SQL.String()
	t.newest = "SELECT " + newest

	t.remove = exec("DELETE FROM rohrpost_outbox WHERE number >= ? AND number < ?", 0, 0)
	t.empty = exec("UPDATE rohrpost_outbox SET batch = ? WHERE number >= ? AND number <= ?", []byte{}, 0, 0)
	t.setFloor = exec("UPDATE rohrpost_outbox_relay SET floor = ? WHERE id = 1", 0)
	t.setSource = exec("UPDATE rohrpost_outbox_relay SET source = ?, floor = 0 WHERE id = 1", "")
	t.replaceRow = exec("UPDATE rohrpost_outbox SET batch = ? WHERE id = ?", []byte{}, 0)
	t.removeIDs = exec("DELETE FROM rohrpost_outbox WHERE id >= ? AND id <= ?", 0, 0)
	t.number = exec("UPDATE rohrpost_outbox SET number = id + ? WHERE id >= ? AND id <= ?", 0, 0, 0)
}

// insert returns the statement that stores a batch.
func (t *table) insert(batch []byte, now time.Time) (query string, args []any) {
	if !t.isMySQL {
		return t.insertRow, []any{batch, now.UnixMilli()}
	}
	const start, end = "INSERT INTO rohrpost_outbox (batch, created) VALUES (x'", "', %d)"
	b := append(make([]byte, 0, len(start)+2*len(batch)+len(end)+20), start...)
	b = hex.AppendEncode(b, batch)
	return string(fmt.Appendf(b, end, now.UnixMilli())), nil
}

// backlog returns the arguments of backlogOf.
func (t *table) backlog(taken int64) []any { return t.limited(taken, []byte{}, t.counted) }

// limited returns arguments, of which the last one is that of LIMIT.
func (t *table) limited(args ...any) []any {
	if !t.limits {
		return args[:len(args)-1]
	}
	return args
}

// removeRows deletes rows, those with ids one after another together: between them there is
// none that may have been committed meanwhile.
func (t *table) removeRows(ctx context.Context, tx *sql.Tx, rows []entry) error {
	for len(rows) > 0 {
		run := runOf(rows)
		if _, err := tx.ExecContext(ctx, t.removeIDs, rows[0].key, rows[run-1].key); err != nil {
			return fmt.Errorf("delete rows: %w", err)
		}
		rows = rows[run:]
	}
	return nil
}

// state is what relays share.
type state struct {
	source string
	floor  int64
	owner  string
	beats  int64
}

type queryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// readState reads the row of the relays.
func (t *table) readState(ctx context.Context, q queryer) (state, error) {
	return t.stateBy(ctx, q, t.read)
}

func (t *table) stateBy(ctx context.Context, q queryer, query string) (s state, err error) {
	err = q.QueryRowContext(ctx, query).Scan(&s.source, &s.floor, &s.owner, &s.beats)
	if errors.Is(err, sql.ErrNoRows) {
		err = errors.New("the table rohrpost_outbox_relay is empty: call outbox.Migrate")
	}
	if err != nil {
		return state{}, fmt.Errorf("read the row of the relays: %w", err)
	}
	return s, nil
}

// locked calls f in a transaction that has locked the row of the relays.
func (t *table) locked(ctx context.Context, conn *sql.Conn, f func(*sql.Tx, state) error) error {
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{Isolation: t.isolation})
	if err != nil {
		return fmt.Errorf("begin a transaction: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // after a COMMIT it does nothing
	if !t.locks {
		if _, err = tx.ExecContext(ctx, t.lock); err != nil {
			return fmt.Errorf("lock the row of the relays: %w", err)
		}
	}
	query := t.read
	if t.locks {
		query = t.lock
	}
	s, err := t.stateBy(ctx, tx, query)
	if err == nil {
		err = f(tx, s)
	}
	if err != nil {
		return err
	}
	if err = tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// entry is a row of the outbox. The key is its id, or its number.
type entry struct {
	key   int64
	batch []byte
}

// isPart reports whether there may be more rows than those that entries has found.
func isPart(found []entry) bool {
	bytes := 0
	for _, e := range found {
		bytes += len(e.batch)
	}
	return len(found) == roundRows || bytes >= roundBytes
}

// newest are the highest number and the highest id in the table.
type newest struct{ number, id int64 }

// entries reads rows behind a key, up to the bounds of a round.
func (t *table) entries(ctx context.Context, q queryer, query string, key int64) (found []entry, err error) {
	return t.scan(ctx, q, query, key)
}

// unnumberedRows reads the rows without a number, and what is newest at that moment.
func (t *table) unnumberedRows(ctx context.Context, q queryer, floor int64) (found []entry, last newest, err error) {
	found, err = t.scan(ctx, q, t.unnumbered, floor, &last.number, &last.id)
	if err == nil && len(found) == 0 {
		if err = q.QueryRowContext(ctx, t.newest).Scan(&last.number, &last.id); err != nil {
			err = fmt.Errorf("read the last number: %w", err)
		}
	}
	return found, last, err
}

// scan reads rows, whose further columns are the same in each, into more.
func (t *table) scan(ctx context.Context, q queryer, query string, key int64, more ...any) (found []entry, err error) {
	rows, err := q.QueryContext(ctx, query, t.limited(key, roundRows)...)
	if err != nil {
		return nil, fmt.Errorf("read rows: %w", err)
	}
	defer func() { _ = rows.Close() }() // after all rows it does nothing
	for bytes := 0; bytes < roundBytes && rows.Next(); {
		var e entry
		if err = rows.Scan(append([]any{&e.key, &e.batch}, more...)...); err != nil {
			return nil, fmt.Errorf("read rows: %w", err)
		}
		bytes += len(e.batch)
		found = append(found, e)
	}
	if err = rows.Err(); err != nil {
		return nil, fmt.Errorf("read rows: %w", err)
	}
	return found, nil
}
