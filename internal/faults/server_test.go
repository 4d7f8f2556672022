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

// The environment variables of the server process.
const (
	fileEnv       = "ROHRPOST_FAULTS_FILE"
	addressEnv    = "ROHRPOST_FAULTS_ADDRESS"
	generationEnv = "ROHRPOST_FAULTS_GENERATION" // 1 for the first server, 2 for the next one
	defectEnv     = "ROHRPOST_FAULTS_DEFECT"     // the defect that the oracle has to find
)

const boards = 10

// entry is a row that the clients of its board must know.
type entry struct {
	rohrpost.NotifyOnChange `rohrpost:"group:board-{board}"`
	ID                      uint
	Board                   int
	N                       int64 `gorm:"uniqueIndex"`
}

func (e entry) PushNotificationData([]string, string) any { return map[string]any{"n": e.N} }

// TestServerToKill is the server process of TestKilledServers: a hub, a database in a
// file and a writer for each board.
func TestServerToKill(t *testing.T) {
	file := os.Getenv(fileEnv)
	if file == "" {
		t.Skip("runs only in the process that TestKilledServers starts")
	}
	generation, err := strconv.ParseInt(os.Getenv(generationEnv), 10, 64)
	require.NoError(t, err)
	hub := rohrpost.NewHub(rohrpost.Config{Logger: slog.New(slog.DiscardHandler)})
	hub.Allow("board-{board}", rohrpost.Anyone)
	db := openFile(t, file)
	require.NoError(t, db.AutoMigrate(&entry{}))
	require.NoError(t, db.Use(rohrpost.Plugin(hub)))

	w := &writers{db: db, hub: hub, generation: generation, defect: os.Getenv(defectEnv), stopped: make(chan struct{})}
	mux := http.NewServeMux()
	mux.Handle("/ws", hub)
	mux.HandleFunc("/rows", func(rw http.ResponseWriter, r *http.Request) { writeRows(rw, db, r.FormValue("group")) })
	mux.HandleFunc("/stop", func(rw http.ResponseWriter, _ *http.Request) {
		if err := w.stop(); err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
		}
	})
	for board := range boards {
		w.running.Go(func() { w.write(t, board, firstNumber(generation, board)) })
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

// rowsOf returns the numbers of a group's rows, in order.
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

// writers write entries until stop is called or the process is killed.
type writers struct {
	db         *gorm.DB
	hub        *rohrpost.Hub
	generation int64
	defect     string
	running    sync.WaitGroup
	stopOnce   sync.Once
	stopped    chan struct{}
}

// stop stops the writers and adds a last entry to each board. A client that has this
// entry has caught up.
func (w *writers) stop() error {
	w.stopOnce.Do(func() { close(w.stopped) })
	w.running.Wait()
	var last []entry
	for board := range boards {
		last = append(last, entry{Board: board, N: firstNumber(w.generation, board) + 9e6})
	}
	return w.db.Create(&last).Error
}

// firstNumber returns the number before the first entry of a board's writer.
func firstNumber(generation int64, board int) int64 { return generation*1e9 + int64(board)*1e7 }

var errRollback = errors.New("rolled back on purpose")

// write writes transactions of one or more entries to a board and rolls some of them
// back. It uses each number once.
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
		if w.defect == "loss" && round%8 == 3 {
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
			w.publishDefect(entries[0], n+5e6)
		}
	}
}

// publishDefect publishes an entry again, or a number that is never committed.
func (w *writers) publishDefect(e entry, uncommitted int64) {
	switch w.defect {
	case "phantom":
		e.N = uncommitted
	case "duplicate":
	default:
		return
	}
	_ = w.hub.Publish(context.Background(), rohrpost.Change{
		Group: "board-" + strconv.Itoa(e.Board), Type: rohrpost.Create, Object: map[string]any{"n": e.N},
	})
}
