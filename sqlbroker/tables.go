package sqlbroker

import (
	"context"
	"errors"
	"fmt"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// The columns have names here: the program may have a naming strategy of its own.

// clock is the only row of its table. A transaction that publishes locks it until its
// COMMIT, so that the numbers of messages are in the order of the commits. So does one that
// writes streams or sources: two that lock rows in different orders would end each other.
type clock struct {
	ID       int    `gorm:"column:id;primaryKey;autoIncrement:false"`
	Seq      int64  `gorm:"column:seq"`              // the last number that was given
	Era      string `gorm:"column:era;size:40"`      // a later one whenever messages may be lost
	Instance string `gorm:"column:instance;size:64"` // of the server, where it tells
}

// stream is a stream. One of another era does not exist any more.
type stream struct {
	Name    []byte `gorm:"column:name;primaryKey;size:250"`
	Era     string `gorm:"column:era;size:40"`
	Epoch   string `gorm:"column:epoch;size:64"`
	Seq     int64  `gorm:"column:seq"`     // the number of its last message
	Touched int64  `gorm:"column:touched"` // when a hub was last known to follow it, in ms
}

// message is a message of a stream.
type message struct {
	Seq     int64  `gorm:"column:seq;primaryKey;autoIncrement:false"`
	Stream  []byte `gorm:"column:stream;size:250"`
	Epoch   string `gorm:"column:epoch;size:64"`
	Prev    int64  `gorm:"column:prev"`
	Last    bool   `gorm:"column:last"`          // no message of its batch follows
	Token   string `gorm:"column:token;size:40"` // tells it from another message with the same number
	Payload []byte `gorm:"column:payload"`
	Created int64  `gorm:"column:created"` // in ms
}

// source is who numbers batches.
type source struct {
	Name    []byte `gorm:"column:name;primaryKey;size:100"`
	Number  int64  `gorm:"column:number"`
	Touched int64  `gorm:"column:touched"` // in ms
}

// tables are the names of the tables of an application.
type tables struct{ clock, streams, messages, sources string }

func tablesOf(app string) tables {
	prefix := "rohrpost_" + app + "_"
	return tables{prefix + "clock", prefix + "streams", prefix + "messages", prefix + "sources"}
}

// migrate makes what is missing. Several processes may do so at the same time.
func (t *tables) migrate(ctx context.Context, db *gorm.DB) error {
	db = db.WithContext(ctx)
	for _, table := range []struct {
		name  string
		model any
	}{{t.clock, &clock{}}, {t.streams, &stream{}}, {t.messages, &message{}}, {t.sources, &source{}}} {
		if err := create(db, table.name, table.model); err != nil {
			return fmt.Errorf("create the table %s: %w", table.name, err)
		}
	}
	if err := t.createIndex(db); err != nil {
		return fmt.Errorf("create the index of the table %s: %w", t.messages, err)
	}
	first := clock{ID: 1, Era: nextEra(0)}
	err := inTransaction(db, func(tx *gorm.DB) error {
		return tx.Table(t.clock).Clauses(clause.OnConflict{DoNothing: true}).Create(&first).Error
	})
	if err != nil {
		return fmt.Errorf("fill the table %s: %w", t.clock, err)
	}
	return nil
}

// create makes a table. Of several processes that try at once all but one fail.
func create(db *gorm.DB, name string, model any) error {
	migrator := db.Table(name).Migrator()
	if migrator.HasTable(name) {
		return nil
	}
	err := migrator.CreateTable(model)
	if err != nil && migrator.HasTable(name) {
		return nil
	}
	return err
}

func (t *tables) createIndex(db *gorm.DB) error {
	name := t.messages + "_stream"
	migrator := db.Table(t.messages).Migrator()
	if migrator.HasIndex(t.messages, name) {
		return nil
	}
	err := db.Exec("CREATE INDEX " + name + " ON " + t.messages + " (stream, seq)").Error
	if err != nil && migrator.HasIndex(t.messages, name) {
		return nil
	}
	return err
}

var errNoClock = errors.New("the row of the clock is missing")
