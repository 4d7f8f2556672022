package outbox

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/rpc"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/enginefaults"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// childVariable holds what a child process of the test is to do: its role, engine, DSN and
// the socket of the sink.
const childVariable = "ROHRPOST_OUTBOX_CHILD"

func TestMain(m *testing.M) {
	if job := os.Getenv(childVariable); job != "" {
		if err := beChild(strings.Split(job, "\n")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// The roles of child processes.
const (
	writes        = "writes"         // with an outbox
	writesWithout = "writes without" // an outbox
	relays        = "relays"
	followsIDs    = "follows ids" // the control: a relay that reads the rows behind the last id
)

func beChild(job []string) error {
	role, name, dsn, socket := job[0], job[1], job[2], job[3]
	db, err := openLate(name, dsn)
	if err != nil {
		return err
	}
	client, err := rpc.Dial("unix", socket)
	if err != nil {
		return err
	}
	hub := rohrpost.NewHub(rohrpost.Config{Broker: &remoteSink{client: client}, Logger: childLog()})
	if err = db.Use(rohrpost.Plugin(hub)); err != nil {
		return err
	}
	if role == writesWithout {
		return write(db)
	}
	box, err := New(db, hub, Config{Poll: 50 * time.Millisecond, Logger: childLog()})
	if err != nil {
		return err
	}
	switch role {
	case writes:
		return write(db)
	case relays:
		fmt.Println("ready")
		return box.Run(context.Background())
	default:
		fmt.Println("ready")
		return followIDs(box)
	}
}

// openLate opens a database some of whose transactions commit late.
func openLate(name, dsn string) (*gorm.DB, error) {
	drivers := map[string]string{"SQLite": "sqlite3", "PostgreSQL": "pgx", "MariaDB": "mysql"}
	pool, err := sql.Open(drivers[name], dsn)
	if err != nil {
		return nil, err
	}
	conn := latePool{pool}
	dialectors := map[string]gorm.Dialector{
		"SQLite":     sqlite.New(sqlite.Config{Conn: conn}),
		"PostgreSQL": postgres.New(postgres.Config{Conn: conn}),
		"MariaDB":    mysql.New(mysql.Config{Conn: conn}),
	}
	return gorm.Open(dialectors[name], &gorm.Config{Logger: logger.Discard})
}

// latePool begins transactions, some of which take long between the last statement and
// COMMIT.
type latePool struct{ *sql.DB }

func (p latePool) GetDBConn() (*sql.DB, error) { return p.DB, nil }

func (p latePool) BeginTx(ctx context.Context, opts *sql.TxOptions) (gorm.ConnPool, error) {
	tx, err := p.DB.BeginTx(ctx, opts)
	return lateTx{tx}, err
}

type lateTx struct{ *sql.Tx }

func (t lateTx) Commit() error {
	if rand.IntN(5) == 0 {
		time.Sleep(rand.N(20 * time.Millisecond))
	}
	return t.Tx.Commit()
}

const (
	writers = 4 // of a process
	items   = 6
)

// entry of the ledger: a version of an item that has committed.
type ledgerEntry struct {
	ID      uint
	Item    uint
	Version int
}

// write lets writers change items until the process is killed.
func write(db *gorm.DB) error {
	fmt.Println("ready")
	failed := make(chan error)
	for range writers {
		go func() {
			for {
				if err := change(db); err != nil && !errors.Is(err, errWanted) && !isTransient(err) {
					failed <- err
				}
				time.Sleep(rand.N(4 * time.Millisecond))
			}
		}()
	}
	return <-failed
}

// isTransient reports whether an error is one that concurrent writers must expect.
func isTransient(err error) bool {
	return strings.Contains(err.Error(), "deadlock") || strings.Contains(err.Error(), "Deadlock") || strings.Contains(err.Error(), "locked")
}

// change changes one or two items in a transaction, some of them under a savepoint that is
// rolled back, and writes the new versions into the ledger.
func change(db *gorm.DB) error {
	return db.Transaction(func(tx *gorm.DB) error {
		first := uint(1 + rand.IntN(items-1))
		if err := increase(tx, first); err != nil {
			return err
		}
		if rand.IntN(4) == 0 {
			err := tx.Transaction(func(tx *gorm.DB) error {
				if err := increase(tx, first+1); err != nil {
					return err
				}
				return errWanted
			})
			if !errors.Is(err, errWanted) {
				return err
			}
		}
		if rand.IntN(2) == 0 {
			if err := increase(tx, first+1); err != nil {
				return err
			}
		}
		if rand.IntN(10) == 0 {
			return errWanted
		}
		return nil
	})
}

func increase(tx *gorm.DB, id uint) error {
	if err := tx.Model(&item{ID: id}).Update("version", gorm.Expr("version + 1")).Error; err != nil {
		return err
	}
	var now item
	if err := tx.First(&now, id).Error; err != nil {
		return err
	}
	return tx.Create(&ledgerEntry{Item: id, Version: now.Version}).Error
}

// followIDs is a relay as many are written: it publishes the rows behind the last id.
func followIDs(box *Outbox) error {
	for last := int64(0); ; {
		rows, _, err := box.table.unnumberedRows(context.Background(), box.table.pool, last)
		if err != nil {
			return err
		}
		for _, e := range rows {
			messages, err := decode(e.batch)
			if err != nil {
				return err
			}
			last = e.key
			batch := []broker.Batch{{Source: "ids", Number: uint64(e.key), Messages: messages}}
			if err = box.hub.PublishBatches(context.Background(), batch); err != nil {
				return err
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// sinkServer serves a sink to child processes.
type sinkServer struct{ sink *sink }

// Publishing is the argument of Publish: net/rpc wants exported names.
type Publishing struct{ Batches []broker.Batch }

func (s *sinkServer) Publish(p Publishing, _ *int) error {
	return s.sink.Publish(context.Background(), p.Batches)
}

func (s *sinkServer) Taken(source string, number *uint64) (err error) {
	*number, err = s.sink.Taken(context.Background(), source)
	return err
}

// serve serves the sink on a socket.
func (s *sink) serve(t *testing.T) (socket string) {
	socket = filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	server := rpc.NewServer()
	require.NoError(t, server.RegisterName("Sink", &sinkServer{s}))
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // the test has ended
			}
			go server.ServeConn(conn)
		}
	}()
	return socket
}

// remoteSink is the sink as a child process sees it.
type remoteSink struct {
	sink
	client *rpc.Client
}

func (r *remoteSink) Publish(_ context.Context, batches []broker.Batch) error {
	return r.client.Call("Sink.Publish", Publishing{batches}, new(int))
}

func (r *remoteSink) Taken(_ context.Context, source string) (number uint64, err error) {
	err = r.client.Call("Sink.Taken", source, &number)
	return number, err
}

// child is a process that the test has started.
type child struct {
	role    string
	command *exec.Cmd
	errors  enginefaults.Lines
}

// start starts a child process, and returns when it is ready.
func start(t *testing.T, role string, e engine, dsn, socket string) *child {
	t.Helper()
	c := &child{role: role, command: exec.Command(os.Args[0])}
	c.command.Env = append(os.Environ(), childVariable+"="+strings.Join([]string{role, e.name, dsn, socket}, "\n"))
	c.command.Stderr = &c.errors
	output, err := c.command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.command.Start())
	_, err = bufio.NewReader(output).ReadString('\n')
	if err != nil {
		_ = c.command.Wait()
	}
	require.NoError(t, err, c.errors.String())
	go func() { _, _ = io.Copy(io.Discard, output) }()
	return c
}

// kill kills the process.
func (c *child) kill() {
	_ = c.command.Process.Kill()
	_ = c.command.Wait()
}

// childLog logs to the test what goes wrong in a child process.
func childLog() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}
