package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/redis/rueidis"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/js"
	"github.com/rohrpost/rohrpost/natsbroker"
	"github.com/rohrpost/rohrpost/redisbroker"
	"github.com/rohrpost/rohrpost/sqlbroker"
)

//go:embed page.html
var page []byte

// handOver is the time in which the proxy hands over what it has connected before.
const handOver = 200 * time.Millisecond

// Task is a line of the list. Each change reaches the group "tasks".
type Task struct {
	rohrpost.NotifyOnChange `rohrpost:"group:tasks"`

	ID    uint   `json:"id"`
	Title string `json:"title"`
	By    string `json:"by"` // the instance that wrote it
}

// PushNotificationData returns what pages show.
func (t Task) PushNotificationData([]string, string) any {
	return map[string]any{"id": t.ID, "title": t.Title, "by": t.By}
}

// serveInstance serves the pages of one instance until ctx ends.
func serveInstance(ctx context.Context, o options, instance string) (err error) {
	b, closeBroker, err := openBroker(o)
	if err != nil {
		return fmt.Errorf("open the broker: %w", err)
	}
	defer closeBroker()
	hub := rohrpost.NewHub(rohrpost.Config{Broker: b, Logger: slog.Default().With("instance", instance)})
	db, err := openTasks(o)
	if err == nil {
		err = db.Use(rohrpost.Plugin(hub))
	}
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	hub.Allow("tasks", rohrpost.Anyone)
	hub.Snapshot("tasks", func(ctx context.Context, _ rohrpost.SnapshotRequest) (any, error) {
		var tasks []Task
		return tasks, db.WithContext(ctx).Order("id").Find(&tasks).Error
	})
	socket := o.socket(instance)
	_ = os.Remove(socket) // of a process that was killed
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", socket)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server := &http.Server{Handler: newHandler(hub, db, instance), ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err = <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	return end(context.WithoutCancel(ctx), socket, server, hub)
}

// end lets an instance end so that no write fails and none is lost. The proxy finds it no
// more; what it has handed over already is served; and the hub ends last, since writes
// publish to it. WebSockets are none of the server any more.
func end(ctx context.Context, socket string, server *http.Server, hub *rohrpost.Hub) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_ = os.Remove(socket)
	time.Sleep(handOver)
	return errors.Join(server.Shutdown(ctx), hub.Shutdown(ctx))
}

// openBroker returns what connects the instances.
func openBroker(o options) (broker.Broker, func(), error) {
	switch o.broker {
	case "sql":
		db, err := openSQLite(filepath.Join(o.dir, "broker.db")) // a file of its own
		if err != nil {
			return nil, nil, err
		}
		b, err := sqlbroker.New(db, sqlbroker.Config{App: "nodes"})
		return b, func() {}, err
	case "redis":
		client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{o.redis}, DisableCache: true, ConnWriteTimeout: 3 * time.Second})
		if err != nil {
			return nil, nil, err
		}
		b, err := redisbroker.New(client, redisbroker.Config{App: "example-nodes"})
		return b, client.Close, err
	case "nats":
		nc, err := nats.Connect(o.nats, nats.MaxReconnects(-1), nats.ReconnectWait(500*time.Millisecond), nats.ReconnectBufSize(-1))
		if err != nil {
			return nil, nil, err
		}
		b, err := natsbroker.New(nc, natsbroker.Config{App: "example-nodes"})
		return b, nc.Close, err
	}
	return nil, nil, fmt.Errorf("the broker is %q: choose sql, redis or nats", o.broker)
}

func openTasks(o options) (*gorm.DB, error) { return openSQLite(filepath.Join(o.dir, "tasks.db")) }

// migrate makes the tables of the program.
func migrate(o options) error {
	db, err := openTasks(o)
	if err != nil {
		return err
	}
	pool, err := db.DB()
	if err != nil {
		return err
	}
	return errors.Join(db.AutoMigrate(&Task{}), pool.Close())
}

// openSQLite opens a file in WAL mode. To the second of two processes that turn it on at the
// same moment SQLite says at once that the file is locked, whatever _busy_timeout is.
func openSQLite(file string) (db *gorm.DB, err error) {
	for range 50 {
		db, err = gorm.Open(sqlite.Open("file:"+file+"?_journal_mode=WAL&_busy_timeout=10000&_txlock=immediate"), &gorm.Config{Logger: logger.Discard})
		if err == nil || !strings.Contains(err.Error(), "locked") {
			return db, err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return nil, err
}

func newHandler(hub *rohrpost.Hub, db *gorm.DB, instance string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(page) })
	mux.Handle("/rohrpost/", js.Handler())
	mux.Handle("/ws/rohrpost/", hub)
	hub.HandlePublic("instance", func(context.Context, *rohrpost.Conn, *rohrpost.Request) (any, error) { return instance, nil })
	mux.HandleFunc("POST /tasks", func(w http.ResponseWriter, r *http.Request) {
		task := Task{By: instance}
		err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10)).Decode(&struct{ Title *string }{&task.Title})
		if err != nil || task.Title == "" || len(task.Title) > 200 {
			http.Error(w, "A task needs a title of at most 200 bytes.", http.StatusBadRequest)
			return
		}
		if err := db.WithContext(r.Context()).Create(&task).Error; err != nil {
			http.Error(w, "The task was not written.", http.StatusInternalServerError)
		}
	})
	return http.NewCrossOriginProtection().Handler(mux)
}
