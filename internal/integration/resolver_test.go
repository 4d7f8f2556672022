// Package integration holds the library against plugins and databases that its
// users bring along; its own module keeps them away from everybody else.
package integration

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/rohrposttest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
	"gorm.io/plugin/dbresolver"
)

type card struct {
	rohrpost.NotifyOnChange `rohrpost:"group:cards"`
	ID                      uint
	Title                   string
}

var errWanted = errors.New("wanted")

// TestResolver uses a resolver of several databases before and after the
// plugin, with and without a source of its own.
func TestResolver(t *testing.T) {
	for _, first := range []string{"plugin", "resolver"} {
		for _, sources := range []bool{false, true} {
			for _, prepared := range []bool{false, true} {
				for _, skip := range []bool{false, true} {
					name := fmt.Sprintf("%s first, own source %v, prepared %v, no default tx %v", first, sources, prepared, skip)
					t.Run(name, func(t *testing.T) {
						config := &gorm.Config{Logger: logger.Discard, PrepareStmt: prepared, SkipDefaultTransaction: skip}
						testResolver(t, config, first == "plugin", sources)
					})
				}
			}
		}
	}
}

func testResolver(t *testing.T, config *gorm.Config, pluginFirst, sources bool) {
	hub := rohrpost.NewHub(rohrpost.Config{})
	hub.Allow("cards", rohrpost.Anyone)
	file := filepath.Join(t.TempDir(), "main.db")
	db, err := gorm.Open(sqlite.Open(file), config)
	require.NoError(t, err)
	require.NoError(t, db.AutoMigrate(&card{}))
	resolver := dbresolver.Config{Replicas: []gorm.Dialector{sqlite.Open(file)}}
	if sources {
		resolver.Sources = []gorm.Dialector{sqlite.Open(file)}
	}
	plugins := []gorm.Plugin{rohrpost.Plugin(hub), dbresolver.Register(resolver)}
	if !pluginFirst {
		plugins[0], plugins[1] = plugins[1], plugins[0]
	}
	for _, plugin := range plugins {
		require.NoError(t, db.Use(plugin))
	}
	ws := subscribe(t, hub)

	require.NoError(t, db.Create(&card{ID: 1}).Error)
	require.NoError(t, db.Transaction(func(tx *gorm.DB) error {
		_ = tx.Transaction(func(tx *gorm.DB) error { _ = tx.Create(&card{ID: 2}).Error; return errWanted })
		return tx.Create(&card{ID: 3}).Error
	}))
	require.ErrorIs(t, db.Transaction(func(tx *gorm.DB) error {
		return errors.Join(tx.Create(&card{ID: 4}).Error, errWanted)
	}), errWanted)
	tx := db.Clauses(dbresolver.Write).Begin()
	require.NoError(t, tx.Create(&card{ID: 5}).Error)
	require.NoError(t, tx.Commit().Error)
	tx = db.Clauses(dbresolver.Write).Begin()
	require.NoError(t, tx.Create(&card{ID: 6}).Error)
	require.NoError(t, tx.Rollback().Error)
	require.NoError(t, db.Model(&card{}).Where("id = ?", 1).Update("title", "x").Error)
	require.NoError(t, db.Delete(&card{ID: 3}).Error)

	want := []string{`create {"id":1}`, `create {"id":3}`, `create {"id":5}`, `update {"id":1,"updated_fields":["title"]}`, `delete {"id":3}`}
	assert.Equal(t, want, received(t, hub, ws))
	assert.Zero(t, hub.Stats().Untracked)
	assert.Zero(t, hub.Stats().Skipped)
}

// subscribe joins the group of the cards over a real socket.
func subscribe(t *testing.T, hub *rohrpost.Hub) *websocket.Conn {
	server := httptest.NewServer(hub)
	ws, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http"), nil)
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = ws.Close()
		assert.NoError(t, hub.Shutdown(context.Background()))
		server.Close()
	})
	require.NoError(t, ws.SetReadDeadline(time.Now().Add(10*time.Second)))
	require.NoError(t, ws.WriteJSON(map[string]any{"id": 1, "type": "subscribe", "data": map[string]any{"group": "cards"}}))
	var reply struct{ Error string }
	require.NoError(t, ws.ReadJSON(&reply))
	require.Empty(t, reply.Error)
	return ws
}

// received reads what arrived until now: up to a message sent behind it.
func received(t *testing.T, hub *rohrpost.Hub, ws *websocket.Conn) (changes []string) {
	require.NoError(t, hub.Send("cards", rohrpost.Message{Type: "end"}))
	for {
		var message struct {
			Type string
			Data struct {
				Type   string
				Object jsonText
			}
		}
		require.NoError(t, ws.ReadJSON(&message))
		if message.Type == "end" {
			return changes
		}
		changes = append(changes, message.Data.Type+" "+string(message.Data.Object))
	}
}

// jsonText keeps JSON as it came.
type jsonText string

func (j *jsonText) UnmarshalJSON(raw []byte) error {
	*j = jsonText(raw)
	return nil
}

// TestSnapshotsReadFromTheSource has a replica that lags: a snapshot that came from it
// would lack rows before its position.
func TestSnapshotsReadFromTheSource(t *testing.T) {
	for _, pluginFirst := range []bool{true, false} {
		t.Run(fmt.Sprint("plugin first ", pluginFirst), func(t *testing.T) {
			hub := rohrpost.NewHub(rohrpost.Config{})
			source, replica := filepath.Join(t.TempDir(), "source.db"), filepath.Join(t.TempDir(), "replica.db")
			db, err := gorm.Open(sqlite.Open(source), &gorm.Config{Logger: logger.Discard})
			require.NoError(t, err)
			require.NoError(t, db.AutoMigrate(&card{}))
			lagging, err := gorm.Open(sqlite.Open(replica), &gorm.Config{Logger: logger.Discard})
			require.NoError(t, err)
			require.NoError(t, lagging.AutoMigrate(&card{}))
			plugins := []gorm.Plugin{rohrpost.Plugin(hub), dbresolver.Register(dbresolver.Config{Replicas: []gorm.Dialector{sqlite.Open(replica)}})}
			if !pluginFirst {
				slices.Reverse(plugins)
			}
			for _, plugin := range plugins {
				require.NoError(t, db.Use(plugin))
			}
			require.NoError(t, db.Create(&card{ID: 1, Title: "new"}).Error)
			var cards []card
			require.NoError(t, db.Find(&cards).Error)
			require.Empty(t, cards, "any other query reads from the replica")

			hub.Allow("{any}", rohrpost.Anyone)
			titles := func(ctx context.Context) (any, error) {
				var found []card
				if err := db.WithContext(ctx).Find(&found).Error; err != nil {
					return nil, err
				}
				var raw []string
				err := db.WithContext(ctx).Raw("SELECT title FROM cards").Scan(&raw).Error
				var row string
				err = errors.Join(err, db.WithContext(ctx).Model(&card{}).Select("title").Row().Scan(&row))
				return []any{len(found), raw, row}, err
			}
			hub.Snapshot("shared", func(ctx context.Context, _ rohrpost.SnapshotRequest) (any, error) { return titles(ctx) })
			hub.SnapshotFor("own", func(ctx context.Context, _ *rohrpost.Conn, _ rohrpost.SnapshotRequest) (any, error) {
				return titles(ctx)
			})
			conn := rohrposttest.Dial(t, hub)
			for _, group := range []string{"shared", "own"} {
				reply := conn.Call("subscribe", map[string]any{"group": group, "snapshot": true})
				require.Empty(t, reply.Error)
				assert.Contains(t, string(reply.Data), `"snapshot":[1,["new"],"new"]`)
			}
			require.NoError(t, hub.Shutdown(context.Background()))
		})
	}
}
