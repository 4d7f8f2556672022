package rohrpost

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
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

// logBuffer holds log lines. It may be used concurrently.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// lines returns the lines that contain a text.
func (b *logBuffer) lines(text string) (lines []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for line := range strings.Lines(b.text.String()) {
		if strings.Contains(line, text) {
			lines = append(lines, line)
		}
	}
	return lines
}

// logged returns a hub that admits everyone to all groups, and its log.
func logged(config Config) (*Hub, *logBuffer) {
	log := &logBuffer{}
	config.Logger = slog.New(slog.NewTextHandler(log, nil))
	hub := NewHub(config)
	hub.portable = *portable
	hub.Allow("{any}", Anyone)
	return hub, log
}

func TestForeignOriginIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, log := logged(Config{})
		refuse := func() {
			r := httptest.NewRequest(http.MethodGet, "http://app.internal:8080/ws", nil)
			r.Header.Set("Origin", "https://app.example.com")
			w := httptest.NewRecorder()
			hub.ServeHTTP(w, r)
			assert.Equal(t, http.StatusForbidden, w.Code)
		}
		for range 5 {
			refuse()
		}
		lines := log.lines("foreign origin")
		require.Len(t, lines, 1, "once a minute")
		for _, text := range []string{"level=WARN", "https://app.example.com", "app.internal:8080", "Config.Origins", "Host", "changeOrigin"} {
			assert.Contains(t, lines[0], text)
		}
		time.Sleep(time.Minute)
		refuse()
		lines = log.lines("foreign origin")
		require.Len(t, lines, 2)
		assert.Contains(t, lines[1], "skipped=4")
		assert.Equal(t, map[string]uint64{"origin": 6}, hub.Stats().Refused)
	})
}

// A page cannot see the status of a handshake, but it sees a close code.
func TestUnauthorizedPageIsClosed(t *testing.T) {
	for name, test := range map[string]struct {
		err    error
		origin bool
		reason string
	}{
		"page":             {Errorf("The token has expired."), true, "The token has expired."},
		"unreadable error": {errors.New("secret"), true, "Unauthorized"},
		"long text":        {Errorf("%s", strings.Repeat("ä", 100)), true, strings.Repeat("ä", 61)},
		"program":          {Errorf("The token has expired."), false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			hub, log := logged(Config{Authenticate: refuse(test.err)})
			address := serve(t, hub)
			header := http.Header{}
			if test.origin {
				header.Set("Origin", "http"+strings.TrimPrefix(address, "ws"))
			}
			ws, response, err := websocket.DefaultDialer.Dial(address, header)
			if test.origin {
				require.NoError(t, err)
				defer func() { _ = ws.Close() }()
				_ = ws.WriteMessage(websocket.TextMessage, []byte(`{"id":1,"type":"ping"}`)) // it gets no reply
				_, _, err = ws.ReadMessage()
				var closed *websocket.CloseError
				require.ErrorAs(t, err, &closed)
				assert.Equal(t, 4401, closed.Code)
				assert.Equal(t, test.reason, closed.Text)
				require.Eventually(t, func() bool { return hub.Stats().Closed["4401"] == 1 }, 5*time.Second, time.Millisecond)
			} else {
				require.Error(t, err)
				assert.Equal(t, http.StatusUnauthorized, response.StatusCode)
			}
			assert.Equal(t, map[string]uint64{"unauthorized": 1}, hub.Stats().Refused)
			lines := log.lines("not authenticated")
			require.Len(t, lines, 1)
			assert.Contains(t, lines[0], "level=WARN")
			assert.Contains(t, lines[0], test.err.Error())
		})
	}
}

// opaque is the ResponseWriter of a middleware that hides the connection.
type opaque struct{ http.ResponseWriter }

// unwrapping is that of a middleware that does not.
type unwrapping struct{ http.ResponseWriter }

func (u unwrapping) Unwrap() http.ResponseWriter { return u.ResponseWriter }

func TestHidingMiddlewareIsNamed(t *testing.T) {
	hub, log := logged(Config{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hub.ServeHTTP(unwrapping{opaque{w}}, r)
	}))
	defer server.Close()
	_, response, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http"), nil)
	require.Error(t, err)
	assert.Equal(t, http.StatusInternalServerError, response.StatusCode)
	lines := log.lines("take over")
	require.Len(t, lines, 1)
	assert.Contains(t, lines[0], "level=WARN")
	assert.Contains(t, lines[0], "writer=rohrpost.opaque")
	assert.Contains(t, lines[0], "Unwrap() http.ResponseWriter")
	assert.Equal(t, map[string]uint64{"handshake": 1}, hub.Stats().Refused)
	shutDown(t, hub)
}

// Every refusal of a request has a code, and Stats counts it under that.
func TestRefusedByCode(t *testing.T) {
	hub := quiet(Config{Limits: Limits{MaxGroups: 1}})
	hub.Allow("secret", func(context.Context, *Conn, Params) error { return errors.New("no") })
	hub.Allow("away", func(context.Context, *Conn, Params) error { return ErrUnavailable })
	hub.Handle("refuse", func(context.Context, *Conn, *Request) (any, error) { return nil, Errorf("no") })
	hub.Handle("wrap", func(context.Context, *Conn, *Request) (any, error) { return nil, Errorf("not yet: %w", ErrUnavailable) })
	hub.Handle("fail", func(context.Context, *Conn, *Request) (any, error) { return nil, errors.New("secret") })
	hub.Handle("bind", func(_ context.Context, _ *Conn, r *Request) (any, error) { return nil, r.Bind(new(int)) })
	ws := dial(t, serve(t, hub))
	want := map[string]uint64{}
	for _, test := range []struct {
		request, code string
		temporary     bool
	}{
		{`{"id":1,"type":"subscribe","data":{"group":"secret"}}`, "access_denied", false},
		{`{"id":1,"type":"subscribe","data":{"group":"away"}}`, "unavailable", true},
		{`{"id":1,"type":"subscribe","data":{"group":"g","snapshot":true}}`, "no_snapshot", false},
		{`{"id":1,"type":"subscribe","data":{"group":"g","since":1}}`, "malformed", false},
		{`{"id":1,"type":"subscribe","data":{"group":"g"}}`, "", false},
		{`{"id":1,"type":"subscribe","data":{"group":"g","snapshot":true}}`, "no_snapshot", false},
		{`{"id":1,"type":"subscribe","data":{"group":"more"}}`, "too_many_groups", false},
		{`{"id":1,"type":"subscribe","data":{"group":"more","snapshot":true}}`, "too_many_groups", false},
		{`{"id":1,"type":"nope"}`, "unknown_handler", false},
		{`{"id":1,"type":"refuse"}`, "application", false},
		{`{"id":1,"type":"wrap"}`, "unavailable", true},
		{`{"id":1,"type":"fail"}`, "internal", true},
		{`{"id":1,"type":"bind","data":""}`, "malformed", false},
		{`{"id":1}`, "malformed", false},
	} {
		send(t, ws, test.request)
		reply := receive(t, ws)
		if test.code == "" {
			assert.NotContains(t, reply, "error")
			continue
		}
		assert.Contains(t, reply, fmt.Sprintf(`"error_info":{"code":%q,"temporary":%v}}`, test.code, test.temporary))
		want[test.code]++
	}
	assert.Equal(t, want, hub.Stats().Refused)
}

func TestClosedByCode(t *testing.T) {
	hub := quiet(Config{})
	hub.Handle("bye", func(_ context.Context, c *Conn, _ *Request) (any, error) { return nil, c.Close(4321, "") })
	address := serve(t, hub)
	bye, client, lost := dial(t, address), dial(t, address), dial(t, address)
	send(t, bye, `{"id":1,"type":"bye"}`)
	assert.Equal(t, 4321, closeCode(bye))
	require.NoError(t, client.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(time.Second)))
	assert.Equal(t, 1000, closeCode(client))
	require.NoError(t, lost.NetConn().Close())
	want := map[string]uint64{"4321": 1, "1000": 1, "aborted": 1}
	require.Eventually(t, func() bool { return assert.ObjectsAreEqual(want, hub.Stats().Closed) }, 5*time.Second, time.Millisecond)
}

func TestErrorContent(t *testing.T) {
	hub, log := logged(Config{})
	for name, content := range map[string]any{
		"object": map[string]string{"title": "is <too> short"}, "list": []int{1}, "text": "no", "null": nil, "function": func() {},
	} {
		hub.Handle(name, func(context.Context, *Conn, *Request) (any, error) { return nil, ErrorContent(content) })
	}
	ws := dial(t, serve(t, hub))
	for name, want := range map[string]string{
		"object":   `{"title":"is \u003ctoo\u003e short"},"error_info":{"code":"application","temporary":false}`,
		"list":     `[1],"error_info":{"code":"application","temporary":false}`,
		"text":     `"no","error_info":{"code":"application","temporary":false}`,
		"null":     `"internal error","error_info":{"code":"internal","temporary":true}`,
		"function": `"internal error","error_info":{"code":"internal","temporary":true}`,
	} {
		send(t, ws, `{"id":1,"type":"`+name+`"}`)
		assert.Equal(t, `{"id":1,"type":"`+name+`","error":`+want+`}`, receive(t, ws))
	}
	assert.Len(t, log.lines("content of an error"), 2)
	assert.Equal(t, `[1]`, ErrorContent([]int{1}).Error())
}

// hijacking is the ResponseWriter of a middleware whose Hijack fails.
type hijacking struct {
	http.ResponseWriter
	fail func()
}

func (h hijacking) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h.fail()
	return nil, nil, errors.New("no")
}

// A Hijack that fails gives its place back, and Shutdown returns.
func TestFailingHijack(t *testing.T) {
	for name, fail := range map[string]func(){"error": func() {}, "panic": func() { panic(http.ErrAbortHandler) }, "exit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			hub := quiet(Config{Limits: Limits{MaxConnections: 1}})
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/fail" {
					w = hijacking{w, fail}
				}
				hub.ServeHTTP(w, r)
			}))
			defer server.Close()
			address := "ws" + strings.TrimPrefix(server.URL, "http")
			for range 3 {
				_, _, err := websocket.DefaultDialer.Dial(address+"/fail", nil)
				require.Error(t, err)
			}
			require.NoError(t, dial(t, address).Close())
			shutDown(t, hub)
		})
	}
}

// A refusal changes no decision about another connection, also of the same user. Decisions
// about the connection itself are made again.
func TestRefusalsLeaveOtherDecisions(t *testing.T) {
	for _, user := range []string{"ann", ""} {
		hub, rights := granting(Config{})
		reading, goOn := make(chan struct{}), make(chan struct{})
		var calls atomic.Int64
		hub.SnapshotFor("g", func(context.Context, *Conn, SnapshotRequest) (any, error) {
			calls.Add(1)
			reading <- struct{}{}
			<-goOn
			return "now", nil
		})
		url := serve(t, hub)
		reader, other := dialAs(t, url, user), dialAs(t, url, user)
		read := func(ws *websocket.Conn) {
			send(t, ws, `{"id":1,"type":"subscribe","data":{"group":"g","snapshot":true}}`)
			<-reading
		}
		resume := func(ws *websocket.Conn, group string) {
			rights.deny(user, group)
			send(t, ws, fmt.Sprintf(`{"id":2,"type":"subscribe","data":{"group":%q,"since":{"epoch":"X","offset":1}}}`, group))
			assert.Contains(t, receive(t, ws), denied)
		}
		read(reader)
		for range 3 {
			resume(other, "secret")
		}
		resume(other, "g")
		goOn <- struct{}{}
		assert.Contains(t, receive(t, reader), `"snapshot":"now"`)
		assert.EqualValues(t, 1, calls.Load())

		rights.set(func(string, string) error { return nil })
		late := dialAs(t, url, user)
		read(late)
		resume(late, "g")
		goOn <- struct{}{}
		assert.Contains(t, receive(t, late), denied, "it has been refused since")
	}
}

// What one anonymous client is refused says nothing about the others.
func TestRefusedResumeOfAnonymous(t *testing.T) {
	hub, rights := granting(Config{})
	url := serve(t, hub)
	epoch := epochOf(t, hub, "g")
	resume := func() string {
		ws := dial(t, url)
		defer func() { _ = ws.Close() }()
		send(t, ws, fmt.Sprintf(`{"id":1,"type":"subscribe","data":{"group":"g","since":{"epoch":%q,"offset":0}}}`, epoch))
		return receive(t, ws)
	}
	rights.deny("", "g")
	assert.Contains(t, resume(), denied)
	rights.set(func(string, string) error { return nil })
	assert.Contains(t, resume(), `"recovered":true`)
}

// Nobody can lose a group of Anyone: no revocation makes a client load its snapshot again,
// nor one that is being read.
func TestPublicGroupsOutliveRevocations(t *testing.T) {
	hub := quiet(Config{}) // it admits everyone
	var calls atomic.Int64
	hub.Snapshot("{any}", func(ctx context.Context, _ SnapshotRequest) (any, error) {
		calls.Add(1)
		return "now", hub.Revoke(ctx, "", "")
	})
	ws := dial(t, serve(t, hub))
	subscribe := func(data string) string {
		send(t, ws, `{"id":1,"type":"subscribe","data":`+data+`}`)
		return receive(t, ws)
	}
	assert.Contains(t, subscribe(`{"group":"g","snapshot":true}`), `"snapshot":"now"`)
	assert.EqualValues(t, 1, calls.Load())
	assert.Contains(t, subscribe(fmt.Sprintf(`{"group":"h","since":{"epoch":%q,"offset":0}}`, epochOf(t, hub, "h"))), `"recovered":true`)
}
