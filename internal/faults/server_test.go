package faults

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/rohrpost/rohrpost"
)

// The environment of the server that is killed.
const (
	fileEnv    = "ROHRPOST_FAULTS_FILE"
	addressEnv = "ROHRPOST_FAULTS_ADDRESS"
	lifeEnv    = "ROHRPOST_FAULTS_LIFE"  // counts the servers
	plantEnv   = "ROHRPOST_FAULTS_PLANT" // a fault that the harness has to notice
)

const boards = 10

// entry is what the database and the pages have to agree about.
type entry struct {
	rohrpost.NotifyOnChange `rohrpost:"group:board-{board}"`
	ID                      uint
	Board                   int
	N                       int64 `gorm:"uniqueIndex"`
}

func (e entry) PushNotificationData([]string, string) any { return map[string]any{"n": e.N} }

// TestServerToKill is the other process of TestKilledServers: a hub and a database in
// a file, with a writer for each board.
func TestServerToKill(t *testing.T) {
	file := os.Getenv(fileEnv)
	if file == "" {
		t.Skip("runs in a process that TestKilledServers starts")
	}
	life, err := strconv.ParseInt(os.Getenv(lifeEnv), 10, 64)
	require.NoError(t, err)
	hub := rohrpost.NewHub(rohrpost.Config{Logger: slog.New(slog.DiscardHandler)})
	hub.Allow("board-{board}", rohrpost.Anyone)
	db := openFile(t, file)
	require.NoError(t, db.AutoMigrate(&entry{}))
	require.NoError(t, db.Use(rohrpost.Plugin(hub)))

	w := &writers{db: db, hub: hub, life: life, plant: os.Getenv(plantEnv), stopped: make(chan struct{})}
	mux := http.NewServeMux()
	mux.Handle("/ws", hub)
	mux.HandleFunc("/rows", func(rw http.ResponseWriter, r *http.Request) { writeRows(rw, db, r.FormValue("group")) })
	mux.HandleFunc("/stop", func(rw http.ResponseWriter, _ *http.Request) {
		if err := w.stop(); err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
		}
	})
	for board := range boards {
		w.all.Go(func() { w.write(t, board, firstOf(life, board)) })
	}
	server := http.Server{Addr: os.Getenv(addressEnv), Handler: mux}
	t.Fatal(server.ListenAndServe())
}

func openFile(t *testing.T, file string) *gorm.DB {
	t.Helper()
	db, err := gorm.Open(sqlite.Open("file:"+file+"?_journal_mode=WAL&_busy_timeout=10000&_txlock=immediate&_synchronous=NORMAL"),
		&gorm.Config{Logger: logger.Discard})
	require.NoError(t, err)
	return db
}

// rowsOf returns what a group consists of, in order.
func rowsOf(db *gorm.DB, group string) (rows []int64, err error) {
	err = db.Model(&entry{}).Where("board = ?", strings.TrimPrefix(group, "board-")).Order("n").Pluck("n", &rows).Error
	return rows, err
}

func writeRows(rw http.ResponseWriter, db *gorm.DB, group string) {
	rows, err := rowsOf(db, group)
	if err != nil {
		http.Error(rw, err.Error(), http.StatusInternalServerError)
		return
	}
	_ = json.NewEncoder(rw).Encode(rows)
}

// writers write until they are stopped, or killed.
type writers struct {
	db      *gorm.DB
	hub     *rohrpost.Hub
	life    int64
	plant   string
	all     sync.WaitGroup
	once    sync.Once
	stopped chan struct{}
}

// stop ends all writing with one entry more for each board, by which pages see that
// they have caught up.
func (w *writers) stop() error {
	w.once.Do(func() { close(w.stopped) })
	w.all.Wait()
	var last []entry
	for board := range boards {
		last = append(last, entry{Board: board, N: firstOf(w.life, board) + 9e6})
	}
	return w.db.Create(&last).Error
}

// firstOf returns after which number the writer of a board begins.
func firstOf(life int64, board int) int64 { return life*1e9 + int64(board)*1e7 }

var errRollback = errors.New("rolled back on purpose")

// write commits one entry of a board after the other, now and then several in one
// transaction, and rolls some back. No number is used twice.
func (w *writers) write(t *testing.T, board int, n int64) {
	for round := 0; ; round++ {
		select {
		case <-w.stopped:
			return
		case <-time.After(rand.N(20 * time.Millisecond)):
		}
		entries := make([]entry, 1+max(0, rand.IntN(10)-7))
		for i := range entries {
			n++
			entries[i] = entry{Board: board, N: n}
		}
		ctx := t.Context()
		if w.plant == "loss" && round%8 == 3 {
			ctx = rohrpost.WithoutNotify(ctx)
		}
		err := w.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
			for i := range entries {
				if err := tx.Create(&entries[i]).Error; err != nil {
					return err
				}
			}
			if rand.IntN(10) == 0 {
				return errRollback
			}
			return nil
		})
		if !errors.Is(err, errRollback) {
			assert.NoError(t, err)
		}
		if round%8 == 3 {
			w.plantMessage(entries[0], n+5e6)
		}
	}
}

// plantMessage sends what must not be sent.
func (w *writers) plantMessage(e entry, never int64) {
	switch w.plant {
	case "phantom":
		e.N = never
	case "duplicate":
	default:
		return
	}
	_ = w.hub.Publish(context.Background(), rohrpost.Change{
		Group: "board-" + strconv.Itoa(e.Board), Type: rohrpost.Create, Object: map[string]any{"n": e.N},
	})
}
