package js

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rohrpost/rohrpost"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// CLIENT.md begins
type position struct {
	Epoch  string `json:"epoch"`
	Offset int64  `json:"offset"`
}

type frame struct {
	Type, Error string
	Data        struct {
		position
		Type      string // create, update, delete or resync
		Object    json.RawMessage
		Recovered *bool
	}
}

// follow calls each for every change of the group until the connection ends.
// since is the position that the previous call returned; nil starts at the
// current position. A change of type "resync" says: load the data again.
func follow(ctx context.Context, url, group string, since *position, each func(kind string, object json.RawMessage)) (*position, error) {
	ws, _, err := websocket.DefaultDialer.DialContext(ctx, url, nil)
	if err != nil {
		return since, err
	}
	defer ws.Close()
	defer context.AfterFunc(ctx, func() { _ = ws.Close() })()

	data := map[string]any{"group": group}
	if since != nil {
		data["since"] = since
	}
	if err := ws.WriteJSON(map[string]any{"type": "subscribe", "id": 1, "data": data}); err != nil {
		return since, err
	}
	for {
		var f frame
		if err := ws.ReadJSON(&f); err != nil {
			return since, err // a *websocket.CloseError contains the close code
		}
		if f.Error != "" {
			return since, errors.New(f.Error)
		}
		switch {
		case f.Type == "subscribe" && f.Data.Recovered != nil && *f.Data.Recovered: // the replay follows
		case f.Type == "subscribe":
			if since != nil {
				each("resync", nil)
			}
			since = advance(since, f.Data.position)
		case f.Type == "subscription-update":
			since = advance(since, f.Data.position)
			each(f.Data.Type, f.Data.Object)
		}
	}
}

// advance returns the position after a frame. Most frames contain only an offset.
func advance(since *position, p position) *position {
	switch {
	case p.Epoch != "":
		return &p
	case since != nil && p.Offset > since.Offset:
		return &position{since.Epoch, p.Offset}
	}
	return since
}

// CLIENT.md ends

func TestDocumentationShowsFollow(t *testing.T) {
	source, err := os.ReadFile("follow_test.go")
	require.NoError(t, err)
	_, code, _ := strings.Cut(string(source), "// CLIENT.md begins\n")
	code, _, _ = strings.Cut(code, "\n// CLIENT.md ends")
	page, err := os.ReadFile("../doc/CLIENT.md")
	require.NoError(t, err)
	assert.Contains(t, string(page), code)
}

func TestFollow(t *testing.T) {
	hub := rohrpost.NewHub(rohrpost.Config{Logger: slog.New(slog.DiscardHandler)})
	hub.Allow("article-{id}", rohrpost.Anyone)
	server := httptest.NewServer(hub)
	defer server.Close()
	defer func() { assert.NoError(t, hub.Shutdown(context.Background())) }()
	url := "ws" + strings.TrimPrefix(server.URL, "http")

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := follow(ctx, url, "secret", nil, nil)
	require.EqualError(t, err, "ACCESS_DENIED")

	changes := make(chan string, 100)
	ended := make(chan error, 1)
	go func() {
		_, err := follow(ctx, url, "article-7", nil, func(kind string, object json.RawMessage) { changes <- kind + " " + string(object) })
		ended <- err
	}()
	// The subscription is in flight: publish until the first change arrives.
	for received := false; !received; {
		require.NoError(t, hub.Publish(ctx, rohrpost.Change{Group: "article-7", Type: rohrpost.Update, Object: map[string]int{"id": 7}}))
		select {
		case got := <-changes:
			assert.Equal(t, `update {"id":7}`, got)
			received = true
		case <-time.After(time.Millisecond):
		}
	}
	cancel()
	assert.Error(t, <-ended)
}

// TestFollowResumes plays a server whose connections end.
func TestFollowResumes(t *testing.T) {
	replies := [][]string{
		{
			`{"id":1,"type":"subscribe","data":{"group":"a","epoch":"K3","offset":4}}`,
			`{"id":9,"type":"subscription-update","data":{"type":"update","group":"a","object":{"n":5},"offset":5}}`,
		},
		{
			`{"id":1,"type":"subscribe","data":{"group":"a","epoch":"K3","offset":6,"recovered":true,"missed":1}}`,
			`{"id":9,"type":"subscription-update","data":{"type":"update","group":"a","object":{"n":6},"offset":6}}`,
		},
		{
			`{"id":1,"type":"subscribe","data":{"group":"a","epoch":"Zq","offset":0,"recovered":false,"reason":"epoch"}}`,
			`{"id":9,"type":"subscription-update","data":{"type":"delete","group":"a","object":{"n":1},"offset":1}}`,
		},
	}
	sessions, requests := make(chan []string, len(replies)), make(chan string, len(replies))
	for _, r := range replies {
		sessions <- r
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := new(websocket.Upgrader).Upgrade(w, r, nil)
		if !assert.NoError(t, err) {
			return
		}
		defer ws.Close()
		_, request, err := ws.ReadMessage()
		assert.NoError(t, err)
		requests <- string(request)
		for _, m := range <-sessions {
			assert.NoError(t, ws.WriteMessage(websocket.TextMessage, []byte(m)))
		}
	}))
	defer server.Close()

	var got []string
	var since *position
	for range replies {
		var err error
		since, err = follow(t.Context(), "ws"+strings.TrimPrefix(server.URL, "http"), "a", since, func(kind string, object json.RawMessage) {
			got = append(got, kind+string(object))
		})
		require.Error(t, err)
	}
	assert.Equal(t, []string{`update{"n":5}`, `update{"n":6}`, "resync", `delete{"n":1}`}, got)
	assert.Equal(t, &position{"Zq", 1}, since)
	assert.JSONEq(t, `{"type":"subscribe","id":1,"data":{"group":"a"}}`, <-requests)
	assert.JSONEq(t, `{"type":"subscribe","id":1,"data":{"group":"a","since":{"epoch":"K3","offset":5}}}`, <-requests)
	assert.JSONEq(t, `{"type":"subscribe","id":1,"data":{"group":"a","since":{"epoch":"K3","offset":6}}}`, <-requests)
}
