package rohrpost

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rohrpost/rohrpost/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHandlersMayFail(t *testing.T) {
	hub := quiet(Config{})
	hub.Handle("panic", func(context.Context, *Conn, *Request) (any, error) { panic("secret") })
	hub.Handle("foreign", func(context.Context, *Conn, *Request) (any, error) { return nil, errors.New("secret") })
	hub.Handle("own", func(context.Context, *Conn, *Request) (any, error) {
		return nil, fmt.Errorf("secret: %w", Errorf("say please"))
	})
	hub.Handle("nan", func(context.Context, *Conn, *Request) (any, error) { return math.NaN(), nil })
	hub.Handle("marshal", func(context.Context, *Conn, *Request) (any, error) { return panicking{}, nil })
	ws := dial(t, serve(t, hub))
	for name, text := range map[string]string{
		"panic": "internal error", "foreign": "internal error", "own": "say please", "nan": "internal error", "marshal": "internal error",
	} {
		send(t, ws, `{"id":7,"type":"`+name+`"}`)
		assert.Equal(t, `{"id":7,"type":"`+name+`","error":"`+text+`"}`, receive(t, ws))
	}
	send(t, ws, `{"id":8,"type":"ping"}`)
	assert.Equal(t, `{"id":8,"type":"pong"}`, receive(t, ws), "the connection lives on")
}

func TestLaterIsAnsweredOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := quiet(Config{Limits: Limits{RequestTimeout: 5 * time.Second}})
		hub.Handle("soon", func(_ context.Context, c *Conn, r *Request) (any, error) {
			time.AfterFunc(time.Second, func() {
				assert.NoError(t, c.SendSuccess(r, "done"))
				assert.ErrorIs(t, c.SendSuccess(r, "twice"), ErrAnswered)
			})
			return Later, nil
		})
		hub.Handle("never", func(context.Context, *Conn, *Request) (any, error) { return nil, Later })
		ws := pipe(t, hub)
		send(t, ws, `{"id":1,"type":"never"}`)
		send(t, ws, `{"id":2,"type":"soon"}`)
		send(t, ws, `{"id":3,"type":"ping"}`)
		start := time.Now()
		assert.Equal(t, `{"id":3,"type":"pong"}`, receive(t, ws), "the order is free")
		assert.Equal(t, `{"id":2,"type":"soon","data":"done"}`, receive(t, ws))
		assert.Equal(t, `{"id":1,"type":"never","error":"The request timed out."}`, receive(t, ws))
		assert.Equal(t, 5*time.Second, time.Since(start))
		go func() { _ = closeCode(ws) }()
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}

func TestSlowHandlerIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := quiet(Config{Limits: Limits{RequestTimeout: -1}})
		ended := make(chan error, 1)
		hub.Handle("wait", func(ctx context.Context, _ *Conn, _ *Request) (any, error) {
			<-ctx.Done()
			ended <- ctx.Err()
			return nil, ctx.Err()
		})
		ws := pipe(t, hub)
		send(t, ws, `{"id":1,"type":"wait"}`)
		go func() { _ = closeCode(ws) }()
		time.Sleep(3 * time.Minute) // the client still answers pings
		assert.Equal(t, 1, hub.Stats().Connections)
		require.NoError(t, ws.Close())
		require.ErrorIs(t, <-ended, context.Canceled)
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}

// together writes messages at once, so that the hub reads and handles them together.
func together(t *testing.T, ws interface{ Write([]byte) (int, error) }, messages ...string) {
	t.Helper()
	var frames []byte
	for _, m := range messages {
		require.Less(t, len(m), 126)
		frames = append(frames, wire.TextFrame(nil)[0], 0x80|byte(len(m)), 0, 0, 0, 0) // masked with zeros
		frames = append(frames, m...)
	}
	_, err := ws.Write(frames)
	require.NoError(t, err)
}

func TestRepliesLeaveTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := quiet(Config{})
		ws := pipe(t, hub)
		together(t, ws.NetConn(), slices.Repeat([]string{`{"id":1,"type":"ping"}`}, 9)...) // as many as the reader holds
		buffer := make([]byte, 1000)
		n, err := ws.NetConn().Read(buffer) // the bytes of one write
		require.NoError(t, err)
		assert.Equal(t, 9, strings.Count(string(buffer[:n]), `{"id":1,"type":"pong"}`))
		go func() { _ = closeCode(ws) }()
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}

// Replies to requests that came together leave together, but do not wait for a slow handler.
func TestRepliesDoNotWaitForSlowHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := quiet(Config{})
		hub.Handle("sleep", func(context.Context, *Conn, *Request) (any, error) {
			time.Sleep(10 * time.Second)
			return nil, nil
		})
		hub.Handle("later", func(context.Context, *Conn, *Request) (any, error) { return nil, Later })
		ws := pipe(t, hub)
		start := time.Now()
		var took []time.Duration
		together(t, ws.NetConn(), `{"id":1,"type":"ping"}`, `{"id":2,"type":"sleep"}`, `{"id":3,"type":"ping"}`, `{"id":4,"type":"sleep"}`)
		for i := range 4 {
			assert.Contains(t, receive(t, ws), fmt.Sprintf(`{"id":%d`, i+1))
			took = append(took, time.Since(start))
		}
		assert.Equal(t, []time.Duration{maxHold, 10 * time.Second, 10 * time.Second, 20 * time.Second}, took)

		start = time.Now()
		together(t, ws.NetConn(), `{"id":5,"type":"ping"}`, `{"id":6,"type":"later"}`, `{"id":7,"type":"nope"}`)
		assert.Contains(t, receive(t, ws), `{"id":5`)
		assert.Contains(t, receive(t, ws), `{"id":7`)
		assert.LessOrEqual(t, time.Since(start), maxHold)
		go func() { _ = closeCode(ws) }()
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}
