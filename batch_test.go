package rohrpost

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rohrpost/rohrpost/internal/sqlitetest"
	"github.com/rohrpost/rohrpost/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

// crowded is announced row by row whatever it costs.
type crowded struct {
	NotifyOnChange `rohrpost:"group:crowd;rows:20000"`
	ID             uint
	Title          string
}

// task is announced to a group of its own.
type task struct {
	NotifyOnChange
	ID    uint
	Title string
}

// One commit never closes a connection that reads, however many rows it changes:
// here 10,000 for 1,000 members, more than any send queue holds.
func TestOneCommitClosesNobody(t *testing.T) {
	const rows, members = 10_000, 1000
	hub := quiet(Config{})
	address := serve(t, hub)
	db := sqlitetest.Open(t, gorm.Config{})
	require.NoError(t, db.AutoMigrate(&crowded{}, &task{}))
	require.NoError(t, db.Use(Plugin(hub)))
	quietly := db.WithContext(WithoutNotify(context.Background()))
	require.NoError(t, quietly.CreateInBatches(make([]crowded, rows), 1000).Error)
	require.NoError(t, quietly.CreateInBatches(make([]task, rows), 1000).Error)

	var readers sync.WaitGroup
	var sizes, updates, others atomic.Int64
	for i := range members {
		ws := dial(t, address)
		group := "crowd"
		if i%2 == 1 {
			group = fmt.Sprint("task-", i)
		}
		join(t, ws, group)
		readers.Go(func() {
			defer func() { _ = ws.Close() }()
			switch text := receive(t, ws); {
			case strings.Contains(text, `"resync"`) && strings.Contains(text, `"size"`):
				sizes.Add(1)
			case strings.Contains(text, `"update"`):
				updates.Add(1)
			default:
				others.Add(1)
			}
			send(t, ws, `{"id":2,"type":"ping"}`)
			assert.Contains(t, receive(t, ws), `"pong"`, "the connection is open, and nothing else came")
		})
	}
	require.NoError(t, db.Transaction(func(tx *gorm.DB) error {
		return tx.Model(&crowded{}).Where("1 = 1").Update("title", strings.Repeat("x", 100)).Error
	}))
	require.NoError(t, db.Model(&task{}).Where("1 = 1").Update("title", "x").Error)
	readers.Wait()
	assert.EqualValues(t, members/2, sizes.Load())
	assert.EqualValues(t, members/2, updates.Load())
	assert.Zero(t, others.Load())
	assert.Zero(t, hub.Stats().SlowConsumers)
}

// Changes of one Publish stay together and in order, also for a member of several
// of its groups, while others publish to the same groups.
func TestPublishIsOneBatch(t *testing.T) {
	const publishers, rounds = 8, 100
	hub := quiet(Config{})
	ws := dial(t, serve(t, hub))
	groups := []string{"a", "b", "c", "d", "e"}
	for _, group := range groups {
		join(t, ws, group)
	}
	var done sync.WaitGroup
	for p := range publishers {
		done.Go(func() {
			for round := range rounds {
				var batch []Change
				for i := range groups {
					batch = append(batch, Change{Group: groups[(p+i*3)%len(groups)], Type: Update, Object: [3]int{p, round, i}})
				}
				assert.NoError(t, hub.Publish(context.Background(), batch...))
			}
		})
	}
	for range publishers * rounds {
		var first [3]int
		for i := range groups {
			got := objectOf(t, ws)
			if i == 0 {
				first = got
			}
			require.Equal(t, [3]int{first[0], first[1], i}, got)
		}
	}
	done.Wait()
}

func objectOf(t *testing.T, ws *websocket.Conn) (object [3]int) {
	var message struct{ Data struct{ Object *[3]int } }
	message.Data.Object = &object
	require.NoError(t, ws.SetReadDeadline(time.Now().Add(10*time.Second)))
	require.NoError(t, ws.ReadJSON(&message))
	return object
}

// changesOf reads the types and groups that arrive, up to a message to the group
// end behind them.
func changesOf(t *testing.T, hub *Hub, ws *websocket.Conn, end string) (changes []string) {
	require.NoError(t, hub.Send(end, Message{Type: "end"}))
	require.NoError(t, ws.SetReadDeadline(time.Now().Add(10*time.Second)))
	for {
		var message struct {
			Type string
			Data struct {
				Type, Group string
				Object      json.RawMessage
			}
		}
		require.NoError(t, ws.ReadJSON(&message))
		if message.Type == "end" {
			return changes
		}
		line := message.Data.Type + " " + message.Data.Group
		if message.Data.Type == Resync {
			line += " " + string(message.Data.Object)
		}
		changes = append(changes, line)
	}
}

// A member for which a batch is too much gets a resync for each of its groups. A member
// of fewer of these groups gets the changes.
func TestTooMuchForOneConnection(t *testing.T) {
	hub := quiet(Config{Limits: Limits{MaxSendQueueBytes: 8000}})
	address := serve(t, hub)
	all, one := dial(t, address), dial(t, address)
	for _, group := range []string{"a", "b", "end-all"} {
		join(t, all, group)
	}
	join(t, one, "b")
	join(t, one, "end-one")
	object := strings.Repeat("x", 2500)
	require.NoError(t, hub.Publish(context.Background(),
		Change{Group: "a", Type: Create, Object: object}, Change{Group: "b", Type: Update, Object: object}, Change{Group: "a", Type: Delete, Object: object}))
	assert.Equal(t, []string{`resync a {"reason":"size","spread":0}`, `resync b {"reason":"size","spread":10}`}, changesOf(t, hub, all, "end-all"))
	assert.Equal(t, []string{"update b"}, changesOf(t, hub, one, "end-one"))

	err := hub.Publish(context.Background(), Change{Group: "b", Type: Update, Object: strings.Repeat("x", 9000)}, Change{Group: "b", Type: Delete})
	require.ErrorContains(t, err, "larger than Limits.MaxSendQueueBytes")
	assert.Equal(t, []string{`resync b {"reason":"size","spread":10}`, "delete b"}, changesOf(t, hub, one, "end-one"))
}

func TestResyncOfAPattern(t *testing.T) {
	hub := quiet(Config{})
	ws := dial(t, serve(t, hub))
	for _, group := range []string{"project-2", "project-1", "task-1", "end"} {
		join(t, ws, group)
	}
	ctx := context.Background()
	require.NoError(t, hub.Publish(ctx, newResync("project-{id}", "rows"), newResync("nobody-{id}", "rows")))
	assert.Equal(t, []string{`resync project-1 {"reason":"rows","spread":0}`, `resync project-2 {"reason":"rows","spread":0}`}, changesOf(t, hub, ws, "end"))
	require.NoError(t, hub.Publish(ctx, newResync(wire.AnyGroup, "unknown")))
	assert.Len(t, changesOf(t, hub, ws, "end"), 4)
	require.Error(t, hub.Publish(ctx, newResync("project-{", "rows")))
	require.Error(t, hub.Publish(ctx, Change{Group: "project-{id}", Type: Update}), "only a resync is for all")
}

func newResync(group, reason string) Change { return Change(wire.NewResync(group, reason)) }
