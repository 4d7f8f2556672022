package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/rohrpost/rohrpost"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// updatesGroup is the group of all rows in the race of updates.
const updatesGroup = "articles"

// Article is the row that the servers update. Each has a type of its own for the table,
// since the hub finds its marker in the type.
type Article struct {
	ID        int64     `json:"id" gorm:"primaryKey"`
	Title     string    `json:"title"`
	State     string    `json:"state"`
	Notes     string    `json:"-"`
	Likes     int       `json:"-"`
	UpdatedAt time.Time `json:"updated_at"`
}

// methodArticle shows what its method returns.
type methodArticle struct {
	rohrpost.NotifyOnChange `rohrpost:"group:articles" json:"-"`

	ID        int64     `json:"id" gorm:"primaryKey"`
	Title     string    `json:"title"`
	State     string    `json:"state"`
	Notes     string    `json:"-"`
	Likes     int       `json:"-"`
	UpdatedAt time.Time `json:"updated_at"`
}

// TableName implements schema.Tabler.
func (*methodArticle) TableName() string { return "articles" }

// PushNotificationData returns what pages see.
func (a *methodArticle) PushNotificationData([]string, string) any { return a }

// tagArticle shows the columns that its tag lists.
type tagArticle struct {
	rohrpost.NotifyOnChange `rohrpost:"group:articles;payload:title,state,updated_at"`

	ID        int64 `gorm:"primaryKey"`
	Title     string
	State     string
	Notes     string `json:"-"`
	Likes     int    `json:"-"`
	UpdatedAt time.Time
}

// TableName implements schema.Tabler.
func (*tagArticle) TableName() string { return "articles" }

// updater updates the title of a row and tells the pages.
type updater func(id int64, title string) error

// updateServers are the servers in the race of updates. Each opens a handler for its pages.
var updateServers = map[string]func(db *gorm.DB) (http.Handler, updater, error){
	"tag":         openPlugin(func(db *gorm.DB, id int64) *gorm.DB { return db.Model(&tagArticle{ID: id}) }),
	"method":      openPlugin(func(db *gorm.DB, id int64) *gorm.DB { return db.Model(&methodArticle{ID: id}) }),
	"handwritten": besidePublish(openGorillaTexts),
	"centrifuge":  besidePublish(openCentrifugeTexts),
	"floor":       besidePublish(openFloorTexts),
}

// openPlugin makes a server of rohrpost with the plugin, for a model.
func openPlugin(model func(db *gorm.DB, id int64) *gorm.DB) func(*gorm.DB) (http.Handler, updater, error) {
	return func(db *gorm.DB) (http.Handler, updater, error) {
		hub := rohrpost.NewHub(rohrpost.Config{
			Limits: rohrpost.Limits{IdleTimeout: -1}, // the generator answers no pings
			Logger: slog.New(slog.DiscardHandler),    // standard error shows the progress
		})
		hub.Allow("{group}", rohrpost.Anyone)
		update := func(id int64, title string) error { return model(db, id).Update("title", title).Error }
		return hub, update, db.Use(rohrpost.Plugin(hub))
	}
}

// besidePublish makes a server of one that publishes texts: it encodes what the update has
// left in the struct, after the COMMIT.
func besidePublish(open func() (http.Handler, func(text []byte) error)) func(*gorm.DB) (http.Handler, updater, error) {
	return func(db *gorm.DB) (http.Handler, updater, error) {
		handler, publish := open()
		return handler, func(id int64, title string) error {
			a := Article{ID: id}
			if err := db.Model(&a).Update("title", title).Error; err != nil {
				return err
			}
			c := articleChange{ID: 5912345678901234, Type: "subscription-update"}
			c.Data.Type, c.Data.Group, c.Data.Object, c.Data.UpdatedFields = "update", updatesGroup, a, []string{"title"}
			text, err := json.Marshal(c)
			if err != nil {
				return err
			}
			return publish(text)
		}, nil
	}
}

// articleChange is the change as the servers without the plugin write it.
type articleChange struct {
	ID   int64  `json:"id"`
	Type string `json:"type"`
	Data struct {
		Type          string   `json:"type"`
		Group         string   `json:"group"`
		Object        Article  `json:"object"`
		UpdatedFields []string `json:"updated_fields"`
	} `json:"data"`
}

func openGorillaTexts() (http.Handler, func([]byte) error) {
	members := newRegistry[chan []byte]()
	return gorillaHandler(members), func(text []byte) error {
		members.each(updatesGroup, func(send chan []byte) { send <- text })
		return nil
	}
}

func openCentrifugeTexts() (http.Handler, func([]byte) error) {
	handler, node := newCentrifuge(1000, nil)
	return handler, func(text []byte) error { return node(updatesGroup, text) }
}

func openFloorTexts() (http.Handler, func([]byte) error) {
	f, handler := newFloor()
	return handler, func(text []byte) error { f.write(text); return nil }
}

// updateRows is the number of rows, of which each writer updates one.
const updateRows = 8

// serveUpdates runs one server of the race until standard input ends. A POST to
// /update/{id} updates a row.
func serveUpdates(name, database, dsn string) error {
	open, known := updateServers[name]
	if !known {
		return fmt.Errorf("unknown server")
	}
	db, err := openDatabase(database, dsn)
	if err != nil {
		return err
	}
	pages, update, err := open(db)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/ws", pages)
	var count atomic.Int64
	mux.HandleFunc("POST /update/{id}", func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
		if err == nil {
			err = update(id, strconv.FormatInt(count.Add(1), 10)+title())
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	go func() { _ = http.Serve(listener, mux) }() // ends with the process
	fmt.Println(listener.Addr())
	defer profile()()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
	}
	return nil
}

// openDatabase opens a database with the rows. It does not wait for the disk, so that the
// servers are compared and not the disk.
func openDatabase(database, dsn string) (*gorm.DB, error) {
	config := &gorm.Config{Logger: logger.Discard}
	var db *gorm.DB
	var err error
	if database == "SQLite" {
		db, err = gorm.Open(sqlite.Open(dsn+"?_journal_mode=WAL&_synchronous=OFF&_busy_timeout=10000"), config)
	} else {
		db, err = gorm.Open(postgres.Open(dsn), config)
	}
	if err != nil {
		return nil, err
	}
	pool, err := db.DB()
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(updateRows)
	pool.SetMaxIdleConns(updateRows)
	if database == "SQLite" {
		pool.SetMaxOpenConns(1) // else writers wait for each other in steps of milliseconds
	}
	if err := db.AutoMigrate(&Article{}); err != nil {
		return nil, err
	}
	for id := range int64(updateRows) {
		if err := db.WithContext(context.Background()).Save(&Article{ID: id + 1, Title: title(), State: "open", Notes: title()}).Error; err != nil {
			return nil, err
		}
	}
	return db, nil
}
