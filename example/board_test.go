package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rohrpost/rohrpost"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// openTestBoard serves a board of its own.
func openTestBoard(t *testing.T, file string) *httptest.Server {
	hub := rohrpost.NewHub(rohrpost.Config{})
	hub.Allow(boardGroup, rohrpost.Anyone)
	db, closeDB, err := openBoard(t.Context(), file, hub)
	require.NoError(t, err)
	server := httptest.NewServer(newHandler(hub, db))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		assert.NoError(t, hub.Shutdown(ctx))
		server.Close()
		assert.NoError(t, closeDB())
	})
	return server
}

func ask(t *testing.T, server *httptest.Server, method, path, body string) (int, string) {
	request, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	response, err := server.Client().Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, strings.TrimSpace(string(answer))
}

// What is done over REST arrives at the pages, and what is refused does not.
func TestChangesArrive(t *testing.T) {
	for name, file := range map[string]string{"in memory": "", "in a file": filepath.Join(t.TempDir(), "board.db")} {
		t.Run(name, func(t *testing.T) {
			server := openTestBoard(t, file)
			ws, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http")+"/ws/rohrpost/", nil)
			require.NoError(t, err)
			defer func() { _ = ws.Close() }()
			require.NoError(t, ws.SetReadDeadline(time.Now().Add(10*time.Second)))
			read := func() string {
				_, message, err := ws.ReadMessage()
				require.NoError(t, err)
				_, data, _ := strings.Cut(string(message), `"data":`)
				return strings.TrimSuffix(data, "}")
			}
			require.NoError(t, ws.WriteMessage(websocket.TextMessage, []byte(`{"id":1,"type":"subscribe","data":{"group":"board"}}`)))
			require.Equal(t, `{"group":"board"}`, read())

			for _, step := range []struct {
				method, path, body string
				status             int
				answer             string
				told               []string
			}{
				{
					"POST", "/api/cards", `{"title":" One ","column":"todo"}`, 201, `{"id":1,"title":"One","column":"todo","position":0}`,
					[]string{`{"type":"create","group":"board","object":{"id":1,"title":"One","column":"todo","position":0}}`},
				},
				{
					"POST", "/api/cards", `{"title":"Two","column":"todo"}`, 201, `{"id":2,"title":"Two","column":"todo","position":1}`,
					[]string{`{"type":"create","group":"board","object":{"id":2,"title":"Two","column":"todo","position":1}}`},
				},
				{"POST", "/api/cards", `{"title":"","column":"todo"}`, 400, `{"error":"The title is missing."}`, nil},
				{"POST", "/api/cards", `{"title":"x","column":"attic"}`, 400, `{"error":"The column is one of \"todo\", \"doing\" and \"done\"."}`, nil},
				{"POST", "/api/cards", `[`, 400, "", nil},
				{"POST", "/api/cards", `{"title":"` + strings.Repeat("x", maxBody) + `"}`, 413, `{"error":"More than 4096 bytes."}`, nil},
				{"PATCH", "/api/cards/9", `{"title":"x"}`, 404, `{"error":"There is no such card."}`, nil},
				{"PATCH", "/api/cards/1", `{}`, 400, "", nil},
				{
					"PATCH", "/api/cards/2", `{"title":"Second"}`, 200, `{"id":2,"title":"Second","column":"todo","position":1}`,
					[]string{`{"type":"update","group":"board","object":{"id":2,"title":"Second","column":"todo","position":1,"updated_fields":["title"]},"updated_fields":["title"]}`},
				},
				{"PATCH", "/api/cards/2", `{"position":0}`, 200, `{"id":2,"title":"Second","column":"todo","position":0}`, []string{
					`{"type":"update","group":"board","object":{"id":2,"title":"Second","column":"todo","position":0,"updated_fields":["column","position"]},"updated_fields":["column","position"]}`,
					`{"type":"update","group":"board","object":{"id":1,"title":"One","column":"todo","position":1,"updated_fields":["position"]},"updated_fields":["position"]}`,
				}},
				{"DELETE", "/api/cards/1", "", 204, "", []string{`{"type":"delete","group":"board","object":{"id":1,"title":"One","column":"todo","position":1}}`}},
				{"DELETE", "/api/cards/1", "", 404, `{"error":"There is no such card."}`, nil},
				{"GET", "/api/cards", "", 200, `[{"id":2,"title":"Second","column":"todo","position":0}]`, nil},
			} {
				status, answer := ask(t, server, step.method, step.path, step.body)
				assert.Equal(t, step.status, status, "%s %s %s", step.method, step.path, answer)
				if step.answer != "" {
					assert.Equal(t, step.answer, answer)
				}
				for _, want := range step.told {
					assert.Equal(t, want, read())
				}
			}
		})
	}
}

func TestOnlyJSONFromHere(t *testing.T) {
	server := openTestBoard(t, filepath.Join(t.TempDir(), "board.db"))
	for header, status := range map[string]int{"Content-Type: text/plain": 415, "Sec-Fetch-Site: cross-site": 403} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/api/cards", strings.NewReader(`{"title":"x","column":"todo"}`))
		require.NoError(t, err)
		request.Header.Set("Content-Type", "application/json")
		name, value, _ := strings.Cut(header, ": ")
		request.Header.Set(name, value)
		response, err := server.Client().Do(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		assert.Equal(t, status, response.StatusCode, header)
	}
}
