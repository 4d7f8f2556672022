package rohrpost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rohrpost/rohrpost/internal/upstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDeniedSubscriptionsLookAlike(t *testing.T) {
	hub := NewHub(Config{Logger: quiet(Config{}).log, Limits: Limits{AuthorizeTimeout: 10 * time.Millisecond}})
	hub.Allow("error", func(context.Context, *Conn, Params) error { return errors.New("secret") })
	hub.Allow("readable", func(context.Context, *Conn, Params) error { return Errorf("not you") })
	hub.Allow("panic", func(context.Context, *Conn, Params) error { panic("secret") })
	hub.Allow("slow", func(ctx context.Context, _ *Conn, _ Params) error { <-ctx.Done(); return nil })
	ws := dial(t, serve(t, hub))
	for _, data := range []string{
		`{"group":"unknown"}`, `{"group":"error"}`, `{"group":"readable"}`, `{"group":"panic"}`, `{"group":"slow"}`,
		`{"group":"a group"}`, `{"group":""}`, `{"group":5}`, `{"type":"a"}`, `{"type":"a","id":{}}`, `5`, `null`, `{}`,
	} {
		send(t, ws, `{"id":1,"type":"subscribe","data":`+data+`}`)
		assert.Equal(t, `{"id":1,"type":"subscribe","error":"ACCESS_DENIED","error_info":{"code":"access_denied","temporary":false}}`, receive(t, ws), data)
	}
	send(t, ws, `{"id":1,"type":"subscribe"}`)
	assert.Equal(t, `{"id":1,"type":"subscribe","error":"ACCESS_DENIED","error_info":{"code":"access_denied","temporary":false}}`, receive(t, ws))
	assert.Zero(t, hub.Stats().Memberships)
}

func TestUnavailableDiffersFromDenied(t *testing.T) {
	var log strings.Builder
	hub := NewHub(Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	var away atomic.Bool
	away.Store(true)
	ask := func() error {
		if away.Load() {
			return fmt.Errorf("%w: the database is away", ErrUnavailable)
		}
		return nil
	}
	hub.Allow("group", func(context.Context, *Conn, Params) error { return ask() })
	hub.Allow("stateful", Anyone)
	hub.SnapshotFor("stateful", func(context.Context, *Conn, SnapshotRequest) (any, error) { return 7, ask() })
	ws := dial(t, serve(t, hub))
	const load = `{"id":1,"type":"subscribe","data":{"group":"stateful","snapshot":true}}`
	send(t, ws, load)
	assert.Equal(t, `{"id":1,"type":"subscribe","error":"UNAVAILABLE","error_info":{"code":"unavailable","temporary":true}}`, receive(t, ws))
	const subscribe = `{"id":1,"type":"subscribe","data":{"group":"group"}}`
	send(t, ws, subscribe)
	assert.Equal(t, `{"id":1,"type":"subscribe","error":"UNAVAILABLE","error_info":{"code":"unavailable","temporary":true}}`, receive(t, ws))
	away.Store(false)
	send(t, ws, subscribe)
	assert.Contains(t, receive(t, ws), `"data":{"group":"group"`)
	send(t, ws, load)
	assert.Contains(t, receive(t, ws), `"snapshot":7`)
	go func() { _ = closeCode(ws) }()
	shutDown(t, hub)
	assert.Equal(t, 1, strings.Count(log.String(), "the database is away"))
}

func TestGroupOfKnowsTheConnection(t *testing.T) {
	hub := quiet(Config{
		Authenticate: func(*http.Request) (Identity, error) { return Identity{ID: "ann"}, nil },
		GroupOf: func(ctx context.Context, c *Conn, data json.RawMessage) (string, error) {
			if _, limited := ctx.Deadline(); !limited || string(data) != `"inbox"` {
				return "", errors.New("no group")
			}
			return "inbox-" + c.Identity().ID, nil
		},
	})
	ws := dial(t, serve(t, hub))
	send(t, ws, `{"id":1,"type":"subscribe","data":"inbox"}`)
	require.NoError(t, compareFrame(subscribed(1, "inbox-ann", 0), receive(t, ws)))
	send(t, ws, `{"id":2,"type":"unsubscribe","data":"inbox"}`)
	assert.Equal(t, `{"id":2,"type":"unsubscribe","data":{"group":"inbox-ann"}}`, receive(t, ws))
	assert.Zero(t, hub.Stats().Memberships)
}

// If the access of the user changes between Allow and the step that joins, Allow decides
// again: for a resume, for a snapshot and for a snapshot in parts.
func TestAllowDecidesAgain(t *testing.T) {
	for name, data := range map[string]string{
		"resume":   `{"group":"g","since":{"epoch":"X","offset":1}}`,
		"snapshot": `{"group":"g","snapshot":true}`,
		"parts":    `{"group":"long","snapshot":true}`,
	} {
		for _, revoked := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				var calls atomic.Int32
				var hub *Hub
				change := func(context.Context) {
					if calls.Load() == 1 { // Allow has admitted the user
						hub.ledger.Raise("ann")
					}
				}
				config := Config{Limits: Limits{MaxSendQueueBytes: 1000}}
				config.Authenticate = func(*http.Request) (Identity, error) { return Identity{ID: "ann"}, nil }
				hub = quietOn(config, func(h *Hub, to upstream.Receiver) upstream.Upstream { return between{h.newUpstream(to), change} })
				allow := func(context.Context, *Conn, Params) error {
					if calls.Add(1) > 1 && revoked {
						return Errorf("revoked")
					}
					return nil
				}
				hub.Allow("g", allow)
				hub.Allow("long", allow)
				snapshot := func(value any) func(ctx context.Context, _ *Conn, _ SnapshotRequest) (any, error) {
					return func(ctx context.Context, _ *Conn, _ SnapshotRequest) (any, error) { change(ctx); return value, nil }
				}
				hub.SnapshotFor("g", snapshot(1))
				hub.SnapshotFor("long", snapshot(make([]int, 1000)))
				ws := dial(t, serve(t, hub))
				send(t, ws, `{"id":0,"type":"rohrpost:hello","data":{"version":1,"wants":["parts"]}}`)
				receive(t, ws)
				send(t, ws, `{"id":1,"type":"subscribe","data":`+data+`}`)
				reply := receive(t, ws)
				if revoked {
					assert.Contains(t, reply, `"error":"ACCESS_DENIED"`)
					assert.Zero(t, hub.Stats().Memberships)
				} else {
					assert.Contains(t, reply, `"data":{"group":`)
				}
				assert.EqualValues(t, 2, calls.Load())
			})
		}
	}
}
