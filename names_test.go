package rohrpost

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rohrpost/rohrpost/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestGroupNames plays the table that the JavaScript client plays too.
func TestGroupNames(t *testing.T) {
	var table struct {
		Formatted, Refused, Read []struct {
			Pattern, Name, Why string
			Params             Params
		}
		MalformedPatterns []string
	}
	text, err := os.ReadFile("testdata/group_names.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &table))
	require.True(t, len(table.Formatted) > 0 && len(table.Refused) > 0 && len(table.Read) > 0 && len(table.MalformedPatterns) > 0)
	for _, row := range table.Formatted {
		name, err := FormatGroup(row.Pattern, row.Params)
		require.NoError(t, err, "%s %v", row.Pattern, row.Params)
		assert.Equal(t, row.Name, name)
		assert.True(t, wire.ValidGroup(name), name)
		assert.Equal(t, row.Params, readBy(t, row.Pattern, name), name)
	}
	for _, row := range table.Refused {
		_, err := FormatGroup(row.Pattern, row.Params)
		assert.Error(t, err, "%s %v: %s", row.Pattern, row.Params, row.Why)
	}
	for _, pattern := range table.MalformedPatterns {
		_, err := FormatGroup(pattern, Params{"a": "1", "b": "2"})
		assert.ErrorContains(t, err, "rohrpost: pattern "+`"`+pattern, pattern)
		assert.Panics(t, func() { NewHub(Config{}).Allow(pattern, Anyone) }, pattern)
	}
	for _, row := range table.Read {
		assert.Equal(t, row.Params, readBy(t, row.Pattern, row.Name), "%s reads %s", row.Pattern, row.Name)
	}
}

// readBy returns the values that the functions of a pattern get for a group.
func readBy(t *testing.T, pattern, group string) (p Params) {
	hub := NewHub(Config{Logger: slog.New(slog.DiscardHandler)})
	hub.Allow(pattern, Anyone)
	hub.Snapshot(pattern, func(_ context.Context, r SnapshotRequest) (any, error) { return r.Params, nil })
	allow, p := hub.ruleFor(group)
	assert.Equal(t, allow != nil, p != nil)
	functions, values := hub.snapshots.Find(group)
	assert.Equal(t, functions.shared != nil, values != nil)
	assert.Equal(t, p, Params(values))
	return p
}

// A member of team "acme" was let into a group of team "acme-west".
func TestNamesTellTenantsApart(t *testing.T) {
	hub := NewHub(Config{Logger: slog.New(slog.DiscardHandler)})
	var asked []string
	hub.Allow("wiki-{team}-{wiki}", func(_ context.Context, _ *Conn, p Params) error {
		asked = append(asked, p["team"]+"/"+p["wiki"])
		if p["team"] != "acme" {
			return Errorf("not a member")
		}
		return nil
	})
	ws := dial(t, serve(t, hub))
	group, err := FormatGroup("wiki-{team}-{wiki}", Params{"team": "acme-west", "wiki": "plans"})
	require.NoError(t, err)
	send(t, ws, `{"id":1,"type":"subscribe","data":{"group":"`+group+`"}}`)
	assert.Contains(t, receive(t, ws), `"error":"ACCESS_DENIED"`)
	send(t, ws, `{"id":2,"type":"subscribe","data":{"group":"wiki-acme-west-plans"}}`)
	assert.Contains(t, receive(t, ws), `"data":{"group":"wiki-acme-west-plans"`)
	assert.Equal(t, []string{"acme-west/plans", "acme/west-plans"}, asked)
}

func TestGroupOfEscapesTheID(t *testing.T) {
	hub := NewHub(Config{Logger: slog.New(slog.DiscardHandler)})
	hub.Allow("user-{mail}", func(_ context.Context, _ *Conn, p Params) error {
		assert.Equal(t, "Grüße/~a-b@example.com", p["mail"])
		return nil
	})
	ws := dial(t, serve(t, hub))
	send(t, ws, `{"id":1,"type":"subscribe","data":{"type":"user","id":"Grüße/~a-b@example.com"}}`)
	assert.Contains(t, receive(t, ws), `"data":{"group":"user-Gr~C3~BC~C3~9Fe~2F~7Ea-b~40example.com"`)
}

func TestPatternsThatMatchOneName(t *testing.T) {
	var log strings.Builder
	hub := NewHub(Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	assert.Contains(t, log.String(), `msg="rohrpost: a new hub" broker="none: one process"`)
	log.Reset()
	hub.Allow("wiki-{id}", Anyone)
	hub.Allow("user-{id:int}", Anyone)
	hub.Allow("user-{id:uuid}", Anyone)
	hub.Snapshot("wiki-{team}-{wiki}", func(context.Context, SnapshotRequest) (any, error) { return nil, nil })
	assert.Empty(t, log.String(), "nothing overlaps")
	hub.Allow("wiki-{team}-{wiki}", Anyone)
	assert.Contains(t, log.String(), `level=WARN msg="rohrpost: two patterns match one group`)
	assert.Contains(t, log.String(), `decides=wiki-{team}-{wiki} other=wiki-{id} group=wiki-a-a`)
	log.Reset()
	hub.Allow("{kind}-{id:uuid}", Anyone)
	assert.Equal(t, 3, strings.Count(log.String(), "level=WARN"), log.String())
	assert.Contains(t, log.String(), "decides=user-{id:uuid} other={kind}-{id:uuid}")
	log.Reset()
	hub.Snapshot("wiki-{id}", func(context.Context, SnapshotRequest) (any, error) { return nil, nil })
	assert.Equal(t, 1, strings.Count(log.String(), "level=WARN"))
}

// A program may give any name to a group. A resync of all groups reaches it, although
// no pattern of Allow reads it.
func TestResyncReachesAnyName(t *testing.T) {
	hub := NewHub(Config{Logger: slog.New(slog.DiscardHandler)})
	hub.Allow("{any}", Anyone)
	hub.Handle("join", func(_ context.Context, c *Conn, _ *Request) (any, error) { return nil, c.Join("a~b") })
	ws := dial(t, serve(t, hub))
	send(t, ws, `{"id":1,"type":"subscribe","data":{"group":"a~b"}}`)
	assert.Contains(t, receive(t, ws), "ACCESS_DENIED")
	send(t, ws, `{"id":2,"type":"join"}`)
	receive(t, ws)
	require.NoError(t, hub.Publish(t.Context(), Change{Group: wire.AnyGroup, Type: Resync}))
	assert.Contains(t, receive(t, ws), `"type":"resync","group":"a~b"`)
}

// The log handler of the program may call the hub, about two patterns too.
func TestLogHandlerMayCallTheHub(t *testing.T) {
	var hub *Hub
	log := slog.New(callingHandler{slog.DiscardHandler, func() { hub.Allow("own-"+strconv.Itoa(int(time.Now().UnixNano())), Anyone) }})
	hub = NewHub(Config{Logger: log})
	done := make(chan struct{})
	go func() {
		defer close(done)
		hub.Allow("wiki-{id}", Anyone)
		hub.Allow("wiki-{team}-{wiki}", Anyone)
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		require.FailNow(t, "a deadlock")
	}
}

// callingHandler calls a function for each record.
type callingHandler struct {
	slog.Handler
	do func()
}

func (h callingHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h callingHandler) Handle(context.Context, slog.Record) error {
	h.do()
	return nil
}
