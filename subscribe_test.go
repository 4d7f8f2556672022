package rohrpost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// resume subscribes again from a position, and returns the answer's data.
func resume(t *testing.T, ws interface {
	WriteMessage(int, []byte) error
	ReadMessage() (int, []byte, error)
}, group string, since Position,
) (data struct {
	Epoch, Reason string
	Offset        uint64
	Recovered     *bool
	Missed        int
},
) {
	t.Helper()
	request := fmt.Sprintf(`{"id":2,"type":"subscribe","data":{"group":%q,"since":{"epoch":%q,"offset":%d}}}`, group, since.Epoch, since.Offset)
	require.NoError(t, ws.WriteMessage(1, []byte(request)))
	_, text, err := ws.ReadMessage()
	require.NoError(t, err)
	var answer struct{ Data json.RawMessage }
	require.NoError(t, json.Unmarshal(text, &answer))
	require.NotNil(t, answer.Data, string(text))
	require.NoError(t, json.Unmarshal(answer.Data, &data))
	return data
}

func TestReasonsForNoReplay(t *testing.T) {
	hub := quiet(Config{History: HistoryLimits{MaxMessages: 5}, Limits: Limits{MaxSendQueueBytes: 8 << 10}})
	ws := dial(t, serve(t, hub))
	start, err := hub.Position(t.Context(), "g")
	require.NoError(t, err)
	for n := range 7 {
		require.NoError(t, hub.Publish(t.Context(), change(n)))
	}
	got := resume(t, ws, "g", start)
	assert.False(t, *got.Recovered)
	assert.Equal(t, "trimmed", got.Reason)
	assert.EqualValues(t, 7, got.Offset)

	got = resume(t, ws, "g", Position{Epoch: start.Epoch, Offset: 5})
	assert.True(t, *got.Recovered)
	assert.Equal(t, 2, got.Missed)
	assert.Contains(t, receive(t, ws), changed(5, 6))
	assert.Contains(t, receive(t, ws), changed(6, 7))

	assert.Equal(t, "epoch", resume(t, ws, "g", Position{Epoch: start.Epoch, Offset: 8}).Reason, "the offset is ahead of the history")
	assert.Equal(t, "epoch", resume(t, ws, "g", Position{Epoch: "OTHER", Offset: 7}).Reason)

	for range 3 {
		require.NoError(t, hub.Publish(t.Context(), Change{Group: "g", Type: Create, Object: strings.Repeat("x", 2000)}))
		receive(t, ws)
	}
	assert.Equal(t, "too_far", resume(t, ws, "g", Position{Epoch: start.Epoch, Offset: 7}).Reason)
	assert.EqualValues(t, 1, hub.Stats().Recovered)
	assert.EqualValues(t, 4, hub.Stats().Unrecovered)
}

// By default a client that has missed 1,000 changes of usual size gets them all.
func TestDefaultHistory(t *testing.T) {
	hub := quiet(Config{})
	ws := dial(t, serve(t, hub))
	start, err := hub.Position(t.Context(), "g")
	require.NoError(t, err)
	object := strings.Repeat("x", 250)
	for range 1001 {
		require.NoError(t, hub.Publish(t.Context(), Change{Group: "g", Type: Update, Object: object}))
	}
	assert.Equal(t, "trimmed", resume(t, ws, "g", start).Reason)
	start.Offset = 1
	got := resume(t, ws, "g", start)
	assert.True(t, *got.Recovered)
	assert.Equal(t, 1000, got.Missed)
	for n := range 1000 {
		require.Contains(t, receive(t, ws), fmt.Sprintf(`"offset":%d}`, n+2))
	}
}

func TestNoHistory(t *testing.T) {
	hub := quiet(Config{DisableHistory: true})
	hub.SnapshotFor("{any}", func(context.Context, *Conn, SnapshotRequest) (any, error) { return []int{1}, nil })
	ws := dial(t, serve(t, hub))
	for _, exchange := range [][2]string{
		{`"group":"g"`, `"group":"g"`},
		{`"group":"g","since":{"epoch":"X","offset":0}`, `"group":"g","recovered":false,"reason":"off"`},
		{`"group":"g","snapshot":true`, `"group":"g","snapshot":[1]`},
		{`"group":"g","since":{"epoch":"X","offset":0},"snapshot":true`, `"group":"g","recovered":false,"reason":"off","snapshot":[1]`},
	} {
		send(t, ws, `{"id":1,"type":"subscribe","data":{`+exchange[0]+`}}`)
		assert.Equal(t, `{"id":1,"type":"subscribe","data":{`+exchange[1]+`}}`, receive(t, ws))
	}
	p, err := hub.Position(t.Context(), "g")
	require.NoError(t, err)
	assert.Zero(t, p)
	require.NoError(t, hub.Publish(t.Context(), change(1)))
	assert.Contains(t, receive(t, ws), `"object":1}}`)
}

const maxBuffered = 256 // messages, for a subscription under way

func TestPosition(t *testing.T) {
	hub := quiet(Config{})
	_, err := hub.Position(t.Context(), "no group")
	require.ErrorContains(t, err, "malformed group name")
	p, err := hub.Position(t.Context(), "g")
	require.NoError(t, err)
	assert.Len(t, p.Epoch, 20)
	require.NoError(t, hub.Publish(t.Context(), change(1)))
	later, err := hub.Position(t.Context(), "g")
	require.NoError(t, err)
	assert.Equal(t, Position{Epoch: p.Epoch, Offset: 1}, later)

	encoded := false
	spy := marshalFunc(func() any { encoded = true; return nil })
	require.NoError(t, hub.Send("g", Message{Data: spy}))
	assert.False(t, encoded, "a plain message is not kept")
	require.NoError(t, hub.Publish(t.Context(), Change{Group: "g", Type: Create, Object: spy}))
	assert.True(t, encoded, "a change is kept")
	shutDown(t, hub)
	_, err = hub.Position(t.Context(), "g")
	require.ErrorIs(t, err, ErrClosed)
}

// TestSlowSnapshot reads a snapshot for 10 seconds. Publishing does not wait for it, and
// all that comes in the meantime follows, from the buffer or from the history.
func TestSlowSnapshot(t *testing.T) {
	for _, count := range []int{10, 2 * maxBuffered} {
		synctest.Test(t, func(t *testing.T) {
			hub := quiet(Config{History: HistoryLimits{MaxMessages: 10 * maxBuffered}})
			calls := 0
			hub.SnapshotFor("{any}", func(context.Context, *Conn, SnapshotRequest) (any, error) {
				calls++
				time.Sleep(10 * time.Second)
				return "state", nil
			})
			ws, other := pipe(t, hub), pipe(t, hub)
			join(t, other, "g")
			send(t, ws, `{"id":1,"type":"subscribe","data":{"group":"g","snapshot":true}}`)
			synctest.Wait()
			start := time.Now()
			for n := range count {
				require.NoError(t, hub.Publish(t.Context(), change(n)))
				assert.Contains(t, receive(t, other), changed(n, n+1))
			}
			assert.Zero(t, time.Since(start))
			require.NoError(t, compareFrame(`{"id":1,"type":"subscribe","data":{"group":"g","epoch":"{{epoch}}","offset":0,"snapshot":"state"}}`, receive(t, ws)))
			for n := range count {
				assert.Contains(t, receive(t, ws), changed(n, n+1))
			}
			assert.Equal(t, 1, calls)
			require.NoError(t, errors.Join(ws.Close(), other.Close()))
			require.NoError(t, hub.Shutdown(context.Background()))
		})
	}
}

func TestSnapshotMayFail(t *testing.T) {
	hub := quiet(Config{})
	hub.SnapshotFor("error-{id}", func(context.Context, *Conn, SnapshotRequest) (any, error) { return nil, errors.New("secret") })
	hub.SnapshotFor("readable-{id}", func(context.Context, *Conn, SnapshotRequest) (any, error) { return nil, Errorf("Not today.") })
	hub.SnapshotFor("panic-{id}", func(context.Context, *Conn, SnapshotRequest) (any, error) { panic("oops") })
	hub.SnapshotFor("nan-{id}", func(context.Context, *Conn, SnapshotRequest) (any, error) { return func() {}, nil })
	hub.SnapshotFor("large-{id}", func(context.Context, *Conn, SnapshotRequest) (any, error) { return strings.Repeat("x", 2<<20), nil })
	ws := dial(t, serve(t, hub))
	internal, told := `"internal error","error_info":{"code":"internal","temporary":true}`, `"Not today.","error_info":{"code":"application","temporary":false}`
	large := `"The snapshot is too large.","error_info":{"code":"snapshot_too_large","temporary":false}`
	for group, text := range map[string]string{
		"error-1": internal, "readable-1": told, "panic-1": internal, "nan-1": internal, "large-1": large,
	} {
		send(t, ws, `{"id":1,"type":"subscribe","data":{"group":"`+group+`","snapshot":true}}`)
		assert.Equal(t, `{"id":1,"type":"subscribe","error":`+text+`}`, receive(t, ws), group)
	}
	assert.Zero(t, hub.Stats().Memberships, "a failed subscription leaves no membership")
	assert.Zero(t, hub.Stats().Groups)
	assert.Panics(t, func() {
		hub.SnapshotFor("readable-{other}", func(context.Context, *Conn, SnapshotRequest) (any, error) { return nil, nil })
	})
	assert.Panics(t, func() { hub.SnapshotFor("x", nil) })
}

// TestResumingManyGroups resumes 100 groups at once. The client is not a slow consumer:
// it gets one replay after another.
func TestResumingManyGroups(t *testing.T) {
	hub := quiet(Config{Limits: Limits{MaxSendQueueBytes: 64 << 10}})
	const groups, count = 100, 25
	positions := make([]Position, groups)
	for g := range groups {
		var err error
		positions[g], err = hub.Position(t.Context(), fmt.Sprint("g-", g))
		require.NoError(t, err)
		for range count {
			require.NoError(t, hub.Publish(t.Context(), Change{Group: fmt.Sprint("g-", g), Type: Create, Object: strings.Repeat("x", 1000)}))
		}
	}
	ws := dial(t, serve(t, hub))
	go func() {
		for g := range groups {
			_ = ws.WriteMessage(1, fmt.Appendf(nil, `{"id":%d,"type":"subscribe","data":{"group":"g-%d","since":{"epoch":%q,"offset":0}}}`, g, g, positions[g].Epoch))
		}
	}()
	for g := range groups {
		assert.Contains(t, receive(t, ws), fmt.Sprintf(`"group":"g-%d"`, g))
		for n := range count {
			assert.Contains(t, receive(t, ws), fmt.Sprintf(`"offset":%d}}`, n+1))
		}
	}
	assert.Zero(t, hub.Stats().SlowConsumers)
}

// A connection that is in as many groups as it may be is refused before Allow is asked, and
// before the group has a history. It may ask again for what it has, also for another view.
func TestTooManyGroupsAreRefusedFirst(t *testing.T) {
	hub := NewHub(Config{Logger: slog.New(slog.DiscardHandler), Limits: Limits{MaxGroups: 2}})
	var asked []string
	hub.Allow("plain-{id}", func(_ context.Context, _ *Conn, p Params) error {
		asked = append(asked, "plain-"+p["id"])
		return nil
	})
	views := []string{"staff", "guest"}
	hub.AllowViews("board-{id}", views, func(_ context.Context, _ *Conn, p Params) (string, error) {
		asked = append(asked, "board-"+p["id"])
		return views[len(asked)%2], nil
	})
	ws := dial(t, serve(t, hub))
	ask := func(group string) string {
		send(t, ws, `{"id":1,"type":"subscribe","data":{"group":"`+group+`"}}`)
		return receive(t, ws)
	}
	for _, group := range []string{"board-1", "plain-1", "plain-1", "board-1"} {
		assert.NotContains(t, ask(group), "error", group)
	}
	for _, group := range []string{"plain-2", "board-2", "unknown"} {
		assert.Contains(t, ask(group), `"code":"too_many_groups"`, group)
	}
	assert.Equal(t, []string{"board-1", "plain-1", "plain-1", "board-1"}, asked)
	assert.False(t, hub.upstream.HasHistory("plain-2"))
	conn := hub.Members("plain-1")[0]
	require.NoError(t, conn.Join("plain-1"))
	conn.Leave("board-1")
	assert.NotContains(t, ask("plain-2"), "error")
	assert.NotContains(t, ask("plain-1"), "error", "it is in the group by Join")
	assert.Equal(t, 2, hub.Stats().Memberships)
}
