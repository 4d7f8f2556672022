package rohrpost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

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
		assert.Equal(t, `{"id":1,"type":"subscribe","error":"ACCESS_DENIED"}`, receive(t, ws), data)
	}
	send(t, ws, `{"id":1,"type":"subscribe"}`)
	assert.Equal(t, `{"id":1,"type":"subscribe","error":"ACCESS_DENIED"}`, receive(t, ws))
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
	assert.Equal(t, `{"id":1,"type":"subscribe","error":"UNAVAILABLE"}`, receive(t, ws))
	const subscribe = `{"id":1,"type":"subscribe","data":{"group":"group"}}`
	send(t, ws, subscribe)
	assert.Equal(t, `{"id":1,"type":"subscribe","error":"UNAVAILABLE"}`, receive(t, ws))
	away.Store(false)
	send(t, ws, subscribe)
	assert.Contains(t, receive(t, ws), `"data":{"group":"group"`)
	send(t, ws, load)
	assert.Contains(t, receive(t, ws), `"snapshot":7`)
	go func() { _ = closeCode(ws) }()
	require.NoError(t, hub.Shutdown(t.Context()))
	assert.Equal(t, 1, strings.Count(log.String(), "the database is away"))
}
