package sqlbroker

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"slices"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/rohrpost/rohrpost/broker"
)

// transaction is one transaction of a Broker.
type transaction struct {
	*tables
	broker *Broker
	db     *gorm.DB
	now    clock
	ms     int64
	server string // the instance of the server
}

// locked runs f in a transaction that holds the clock, and gives it some numbers. If the
// database has gone back, all streams begin anew before f runs.
func (b *Broker) locked(ctx context.Context, count int, f func(t *transaction) error) error {
	return b.transaction(ctx, func(t *transaction) error {
		update := t.db.Table(t.clock).Where("id = 1").UpdateColumn("seq", gorm.Expr("seq + ?", count))
		if update.Error != nil {
			return update.Error
		}
		if err := t.readClock(); err != nil {
			return err
		}
		back, err := t.wentBack(count)
		if err == nil && back {
			err = t.renew()
		}
		if err != nil {
			return err
		}
		b.meet(t.now.Era)
		return f(t)
	})
}

// reading runs f in a transaction that only reads. If the database has gone back, all
// streams begin anew before f runs.
func (b *Broker) reading(ctx context.Context, f func(t *transaction) error) error {
	back := false
	err := b.transaction(ctx, func(t *transaction) (err error) {
		if err = t.readClock(); err != nil {
			return err
		}
		if back, err = t.wentBack(0); err != nil || back {
			return err
		}
		b.meet(t.now.Era)
		return f(t)
	})
	if err != nil || !back {
		return err
	}
	return b.locked(ctx, 0, f)
}

func (b *Broker) transaction(ctx context.Context, f func(t *transaction) error) error {
	if err := b.prepare(ctx); err != nil {
		return err
	}
	err := inTransaction(b.db.WithContext(ctx), func(tx *gorm.DB) error {
		return f(&transaction{tables: &b.tables, broker: b, db: tx, ms: time.Now().UnixMilli()})
	})
	if err != nil && (errors.Is(err, errNoClock) || b.tablesAreGone(ctx)) {
		b.setMigrated(false)
	}
	return err
}

// inTransaction runs f in a transaction. On PostgreSQL each of its statements sees what was
// committed before: at a stricter level, which may be the default of a session, one that has
// waited for a lock fails.
func inTransaction(db *gorm.DB, f func(tx *gorm.DB) error) error {
	var options *sql.TxOptions
	if db.Name() == "postgres" {
		options = &sql.TxOptions{Isolation: sql.LevelReadCommitted}
	}
	return db.Transaction(f, options)
}

// tablesAreGone reports whether the database answers, and has no tables.
func (b *Broker) tablesAreGone(ctx context.Context) bool {
	db := b.db.WithContext(ctx)
	return db.Exec("SELECT 1").Error == nil && !db.Migrator().HasTable(b.tables.clock)
}

func (t *transaction) readClock() error {
	var row struct {
		Clock  clock  `gorm:"embedded"`
		Server string `gorm:"column:server"`
	}
	found := t.db.Table(t.clock).Select(t.broker.clock).Where("id = 1").Limit(1).Find(&row)
	if found.Error == nil && found.RowsAffected == 0 {
		return errNoClock
	}
	t.now, t.server = row.Clock, row.Server
	return found.Error
}

// streamsOf returns those of some streams that exist, by name.
func (t *transaction) streamsOf(names []string) (map[string]*stream, error) {
	found := make(map[string]*stream)
	for some := range slices.Chunk(names, 500) {
		var rows []stream
		if err := t.db.Table(t.streams).Where("name IN ? AND era = ?", bytesOf(some), t.now.Era).Find(&rows).Error; err != nil {
			return nil, err
		}
		for i := range rows {
			found[string(rows[i].Name)] = &rows[i]
		}
	}
	return found, nil
}

// bytesOf returns the values of a list in a query. GORM takes a [][]byte for tuples.
func bytesOf(names []string) []any {
	all := make([]any, len(names))
	for i, name := range names {
		all[i] = []byte(name)
	}
	return all
}

// begin begins those of some streams that do not exist, and returns the positions of all.
func (t *transaction) begin(names []string) ([]broker.Position, error) {
	found, err := t.streamsOf(names)
	if err != nil {
		return nil, err
	}
	var (
		fresh []stream
		old   []string
	)
	for _, name := range names {
		switch s := found[name]; {
		case s == nil:
			s = &stream{Name: []byte(name), Era: t.now.Era, Epoch: t.now.Era + "." + rand.Text()[:12], Touched: t.ms}
			found[name] = s
			fresh = append(fresh, *s)
		case t.isOld(s):
			old = append(old, name)
		}
	}
	for some := range slices.Chunk(fresh, 500) {
		if err := t.save(t.streams, some, "era", "epoch", "seq", "touched"); err != nil {
			return nil, err
		}
	}
	return positionsOf(names, found), t.touch(old)
}

// isOld reports whether a stream that is followed is to be touched. It is so early that the
// stream ends Config.KeepUnused after that at least: see Broker.clean.
func (t *transaction) isOld(s *stream) bool {
	keep := t.broker.config.KeepUnused
	return keep >= 0 && t.ms-s.Touched > min(keep/4, cleanInterval).Milliseconds()
}

// touch lets streams go on.
func (t *transaction) touch(names []string) error {
	for some := range slices.Chunk(names, 500) {
		if err := t.db.Table(t.streams).Where("name IN ?", bytesOf(some)).UpdateColumn("touched", t.ms).Error; err != nil {
			return err
		}
	}
	return nil
}

// save writes rows that have names, or these columns of those that are there.
func (t *transaction) save(table string, rows any, columns ...string) error {
	onConflict := clause.OnConflict{Columns: []clause.Column{{Name: "name"}}, DoUpdates: clause.AssignmentColumns(columns)}
	return t.db.Table(table).Clauses(onConflict).Create(rows).Error
}

func positionsOf(names []string, found map[string]*stream) []broker.Position {
	positions := make([]broker.Position, len(names))
	for i, name := range names {
		if s := found[name]; s != nil {
			positions[i] = broker.Position{Epoch: s.Epoch, Offset: uint64(s.Seq)}
		}
	}
	return positions
}

// positions returns the positions of streams, and which of them are to be touched.
func (t *transaction) positions(names []string) (positions []broker.Position, old []string, err error) {
	found, err := t.streamsOf(names)
	for name, s := range found {
		if t.isOld(s) {
			old = append(old, name)
		}
	}
	return positionsOf(names, found), old, err
}

func (t *transaction) history(name string, after uint64, limit int) (h broker.History, err error) {
	found, err := t.streamsOf([]string{name})
	s := found[name]
	if err != nil || s == nil {
		return h, err
	}
	h.Position = broker.Position{Epoch: s.Epoch, Offset: uint64(s.Seq)}
	if limit <= 0 || after >= uint64(s.Seq) {
		return h, nil
	}
	var rows []message
	err = t.db.Table(t.messages).Where("stream = ? AND seq > ? AND seq <= ? AND epoch = ?", s.Name, int64(after), s.Seq, s.Epoch).
		Order("seq").Limit(limit).Find(&rows).Error
	for i := range rows {
		h.Messages = append(h.Messages, rows[i].message())
	}
	return h, err
}

func (m *message) message() broker.Message {
	payload := m.Payload
	if len(payload) == 0 {
		payload = nil
	}
	return broker.Message{
		Stream: string(m.Stream), Payload: payload, Prev: uint64(m.Prev),
		Position: broker.Position{Epoch: m.Epoch, Offset: uint64(m.Seq)},
	}
}

// numbers returns the numbers of sources.
func (t *transaction) numbers(names []string) (map[string]int64, error) {
	var rows []source
	err := t.db.Table(t.sources).Where("name IN ?", bytesOf(names)).Find(&rows).Error
	numbers := make(map[string]int64)
	for i := range rows {
		numbers[string(rows[i].Name)] = rows[i].Number
	}
	return numbers, err
}
