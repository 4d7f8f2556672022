package rohrpost

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMessagesToGroups(t *testing.T) {
	hub := quiet(Config{})
	ws := dial(t, serve(t, hub))
	join(t, ws, "g")

	encoded := false
	spy := func() any { encoded = true; return nil }
	require.NoError(t, hub.Publish(t.Context(), Change{Group: "empty", Type: Create, Object: marshalFunc(spy)}))
	assert.False(t, encoded, "a change for a group without members is not encoded")

	err := hub.Publish(t.Context(),
		Change{Group: "g", Type: Create, Object: func() {}},
		Change{Group: "not a group", Type: Create},
		Change{Group: "g"},
		Change{Group: "g", Type: Create, Object: 1})
	require.ErrorContains(t, err, "encode func()")
	require.ErrorContains(t, err, "malformed group name")
	require.ErrorContains(t, err, "no type")
	assert.Contains(t, receive(t, ws), `"data":{"type":"create","group":"g","object":1,"offset":1}}`, "an error does not stop the others")

	require.NoError(t, hub.SendRaw("g", []byte(` {"a": 1} `)))
	assert.Equal(t, `{"a": 1}`, receive(t, ws))
	require.Error(t, hub.SendRaw("g", []byte(`[1]`)))
	require.Error(t, hub.SendRaw("g", []byte(`{"a"`)))
	require.ErrorContains(t, hub.Send("g", Message{}), "Cannot send an empty message.")
	require.Error(t, hub.Send("not a group", Message{Type: "x"}))
	require.Error(t, hub.Send("g", Message{Data: strings.Repeat("x", 1<<20)}), "fits into no queue")
}

type marshalFunc func() any

func (f marshalFunc) MarshalJSON() ([]byte, error) { return json.Marshal(f()) }

func TestDoubleRegistrationPanics(t *testing.T) {
	hub := NewHub(Config{})
	assert.PanicsWithValue(t, `Handler for "ping" is already defined`, func() { hub.Handle("ping", hello) })
	hub.Allow("a-{id}", Anyone)
	assert.Panics(t, func() { hub.Allow("a-{other}", Anyone) })
	assert.Panics(t, func() { hub.Allow("{a}{b}", Anyone) })
}

// TestEveryMemberSeesOneOrder publishes from many goroutines while connections join,
// leave and close. A member must get all messages of a group, in order.
func TestEveryMemberSeesOneOrder(t *testing.T) {
	hub := quiet(Config{})
	address := serve(t, hub)
	var stop atomic.Bool
	var publishers, members sync.WaitGroup
	for group := range 4 {
		var order sync.Mutex // numbers are given in the order of sending
		n := 0
		for range 2 {
			publishers.Go(func() {
				for !stop.Load() {
					order.Lock()
					n++
					err := hub.Send(fmt.Sprintf("g-%d", group), Message{ID: n, Type: fmt.Sprintf("g-%d", group)})
					order.Unlock()
					if !assert.NoError(t, err) {
						return
					}
					time.Sleep(20 * time.Microsecond)
				}
			})
		}
	}
	for range 8 {
		members.Go(func() {
			for round := 0; !stop.Load(); round++ {
				if !readInOrder(t, address, round) {
					return
				}
			}
		})
	}
	time.Sleep(1500 * time.Millisecond)
	stop.Store(true)
	publishers.Wait()
	members.Wait()
	assert.Zero(t, hub.Stats().SlowConsumers)
}

// readInOrder joins two groups, reads a while and closes, abruptly every other time.
func readInOrder(t *testing.T, address string, round int) bool {
	ws, _, err := websocket.DefaultDialer.Dial(address, nil)
	if !assert.NoError(t, err) {
		return false
	}
	defer func() { _ = ws.Close() }()
	for _, group := range []int{round % 4, (round + 1) % 4} {
		if !assert.NoError(t, ws.WriteJSON(map[string]any{"id": 0, "type": "subscribe", "data": map[string]string{"group": fmt.Sprintf("g-%d", group)}})) {
			return false
		}
	}
	last := map[string]int{}
	_ = ws.SetReadDeadline(time.Now().Add(time.Second))
	for range 300 {
		var message struct {
			ID   int
			Type string
		}
		if ws.ReadJSON(&message) != nil {
			return true // the publishers have stopped
		}
		if message.ID == 0 {
			continue
		}
		if before := last[message.Type]; before > 0 && !assert.Equal(t, before+1, message.ID) {
			return false
		}
		last[message.Type] = message.ID
	}
	if round%2 == 0 {
		_ = ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
	}
	return true
}

func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := quiet(Config{})
		ws := pipe(t, hub)
		join(t, ws, "g")
		for range 3 {
			require.NoError(t, hub.Send("g", Message{ID: 1, Type: "x"}))
		}
		done := make(chan error, 2)
		go func() { done <- hub.Shutdown(context.Background()) }()
		for range 3 { // Shutdown sends the messages that wait
			assert.Equal(t, `{"id":1,"type":"x","group":"g"}`, receive(t, ws))
		}
		_, _, err := ws.ReadMessage()
		var closed *websocket.CloseError
		require.ErrorAs(t, err, &closed)
		assert.Equal(t, websocket.CloseGoingAway, closed.Code)
		assert.Regexp(t, `^service restart; retry_after=(0\.[5-9]\d|1\.00)$`, closed.Text)
		require.NoError(t, <-done)
		require.NoError(t, hub.Shutdown(context.Background()), "again")

		refused := httptest.NewRecorder()
		hub.ServeHTTP(refused, httptest.NewRequest(http.MethodGet, "/", nil))
		assert.Equal(t, http.StatusServiceUnavailable, refused.Code)
		assert.NotEmpty(t, refused.Header().Get("Retry-After"))
		require.ErrorIs(t, hub.Send("g", Message{Type: "x"}), ErrClosed)
		require.ErrorIs(t, hub.Publish(context.Background(), Change{Group: "g", Type: Create}), ErrClosed)
	})
}

func TestShutdownAbortsStalledConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := quiet(Config{})
		_ = pipe(t, hub) // never reads
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		require.ErrorIs(t, hub.Shutdown(ctx), context.DeadlineExceeded)
		synctest.Wait()
		assert.Zero(t, hub.Stats().Connections)
	})
}

// TestBrokerExcludesHistoryLimits sets limits that the hub would ignore, since a broker
// keeps the history.
func TestBrokerExcludesHistoryLimits(t *testing.T) {
	const text = "rohrpost: Config.Broker keeps the history: set neither Config.History nor Config.DisableHistory, but configure the broker"
	b := NewMemoryBroker(HistoryLimits{})
	assert.PanicsWithValue(t, text, func() { NewHub(Config{Broker: b, History: HistoryLimits{MaxMessages: 1}}) })
	assert.PanicsWithValue(t, text, func() { NewHub(Config{Broker: b, DisableHistory: true}) })
	assert.NotPanics(t, func() { NewHub(Config{Broker: b}) })
}
