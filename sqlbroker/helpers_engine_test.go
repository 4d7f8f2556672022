package sqlbroker_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/brokertest"
	"github.com/rohrpost/rohrpost/sqlbroker"
)

// quiet is the log of GORM in tests.
var quiet = logger.Discard

// engine is a database on which the tests run.
type engine struct {
	name   string
	open   func(t testing.TB) gorm.Dialector
	listen string
}

func env(key, value string) string {
	if v := os.Getenv(key); v != "" {
		return v
	}
	return value
}

func engines() []engine {
	return []engine{
		{"SQLite", func(t testing.TB) gorm.Dialector {
			return sqlite.Open("file:" + filepath.Join(t.TempDir(), "broker.db") + "?_journal_mode=WAL&_busy_timeout=10000&_txlock=immediate")
		}, ""},
		{"PostgreSQL", func(testing.TB) gorm.Dialector { return postgres.Open(pg()) }, ""},
		{"PostgreSQL with LISTEN", func(testing.TB) gorm.Dialector { return postgres.Open(pg()) }, pg()},
		{"MariaDB", func(testing.TB) gorm.Dialector { return mysql.Open(maria()) }, ""},
	}
}

func pg() string {
	return env("ROHRPOST_POSTGRES", "host=127.0.0.1 port=5432 user=postgres dbname=postgres sslmode=disable")
}

func maria() string {
	return env("ROHRPOST_MARIADB", "root@tcp(127.0.0.1:3306)/") + "test?parseTime=true"
}

// connect returns a database, or skips the test.
func connect(t testing.TB, e engine, dialector gorm.Dialector, c *gorm.Config) *gorm.DB {
	c.Logger = quiet
	db, err := gorm.Open(dialector, c)
	if err != nil {
		text := fmt.Sprintf("%s is absent: %v", e.name, err)
		if os.Getenv("CI") == "true" {
			t.Fatal(text)
		}
		t.Skip(text)
	}
	pool, err := db.DB()
	require.NoError(t, err)
	t.Cleanup(func() { _ = pool.Close() })
	return db
}

// opened is a Broker of a test.
type opened struct {
	*sqlbroker.Broker
	db     *gorm.DB
	config sqlbroker.Config
}

// table returns the name of a table.
func (o opened) table(name string) string { return "rohrpost_" + o.config.App + "_" + name }

// open returns a Broker of a program of its own.
func open(t testing.TB, e engine, c sqlbroker.Config) opened {
	return openWith(t, e, c, &gorm.Config{})
}

// openWith returns a Broker of a program that configures GORM.
func openWith(t testing.TB, e engine, c sqlbroker.Config, config *gorm.Config) opened {
	if c.App == "" {
		c.App = "t" + strings.ToLower(rand.Text())[:20]
	}
	c.Listen = e.listen
	db := connect(t, e, e.open(t), config)
	t.Cleanup(func() {
		for _, name := range []string{"clock", "streams", "messages", "sources"} {
			_ = db.Migrator().DropTable("rohrpost_" + c.App + "_" + name)
		}
	})
	return peer(t, opened{db: db, config: c})
}

// peer returns a Broker for one more hub.
func peer(t testing.TB, o opened) opened {
	b, err := sqlbroker.New(o.db, o.config)
	require.NoError(t, err)
	return opened{b, o.db, o.config}
}

// restore puts the rows of all tables back after meanwhile.
func (o opened) restore(t testing.TB, meanwhile func()) {
	names := []string{"clock", "streams", "messages", "sources"}
	copies := map[string][]map[string]any{}
	for _, name := range names {
		var rows []map[string]any
		require.NoError(t, o.db.Table(o.table(name)).Find(&rows).Error)
		copies[name] = rows
	}
	meanwhile()
	require.NoError(t, o.db.Transaction(func(tx *gorm.DB) error {
		for _, name := range names {
			if err := tx.Exec("DELETE FROM " + o.table(name)).Error; err != nil {
				return err
			}
			if rows := copies[name]; len(rows) > 0 {
				if err := tx.Table(o.table(name)).Create(rows).Error; err != nil {
					return err
				}
			}
		}
		return nil
	}))
}

// age lets a time pass since the streams were touched.
func (o opened) age(passed time.Duration) error {
	return o.db.Transaction(func(tx *gorm.DB) error {
		if err := tx.Exec("UPDATE " + o.table("clock") + " SET seq = seq").Error; err != nil {
			return err
		}
		return tx.Exec("UPDATE "+o.table("streams")+" SET touched = ?", time.Now().Add(-passed).UnixMilli()).Error
	}, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
}

// contract is the configuration of the tests of the contract.
func contract(e engine, c sqlbroker.Config) brokertest.Config {
	return brokertest.Config{
		Open: func(t *testing.T) broker.Broker { return open(t, e, c) },
		Peer: func(t *testing.T, b broker.Broker) broker.Broker { return peer(t, b.(opened)) },
		EndStream: func(t *testing.T, b broker.Broker, stream string) {
			o := b.(opened)
			require.NoError(t, o.db.Exec("DELETE FROM "+o.table("streams")+" WHERE name = ?", []byte(stream)).Error)
		},
		Restore:  func(t *testing.T, b broker.Broker, meanwhile func()) { b.(opened).restore(t, meanwhile) },
		Patience: 10 * time.Second,
	}
}

func publish(t testing.TB, b broker.Broker, number uint64, payloads ...string) {
	batch := broker.Batch{Source: "s", Number: number}
	for _, p := range payloads {
		batch.Messages = append(batch.Messages, broker.Message{Stream: "g", Payload: []byte(p)})
	}
	require.NoError(t, b.Publish(context.Background(), []broker.Batch{batch}))
}
