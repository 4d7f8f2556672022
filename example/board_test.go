package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/rohrposttest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

// testBoard is a board for one test.
type testBoard struct {
	hub     *rohrpost.Hub
	db      *gorm.DB
	handler http.Handler
}

func openTestBoard(t *testing.T, file string) testBoard {
	hub := rohrpost.NewHub(rohrpost.Config{})
	db, closeDB, err := openBoard(t.Context(), file, hub)
	require.NoError(t, err)
	serveBoard(hub, db)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		assert.NoError(t, hub.Shutdown(ctx))
		assert.NoError(t, closeDB())
	})
	return testBoard{hub, db, newHandler(hub, db)}
}

func (b testBoard) request(t *testing.T, method, path, body string, header http.Header) (int, string) {
	request := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	request.Header = header
	response := httptest.NewRecorder()
	b.handler.ServeHTTP(response, request)
	return response.Code, strings.TrimSpace(response.Body.String())
}

// Anybody may add cards, and nobody may fill the board so that it cannot be loaded or
// changed any more.
func TestBoardIsBounded(t *testing.T) {
	b := openTestBoard(t, "")
	for i := range maxCards + 5 {
		status, body := b.request(t, "POST", "/api/cards", `{"title":"x","column":"todo"}`, asJSON)
		if i < maxCards {
			require.Equal(t, 201, status, body)
		} else {
			assert.Equal(t, 409, status, body)
			assert.Contains(t, body, "full")
		}
	}
	status, body := b.request(t, "GET", "/api/cards", "", nil)
	assert.Equal(t, 200, status)
	var cards []cardView
	require.NoError(t, json.Unmarshal([]byte(body), &cards))
	assert.Len(t, cards, maxCards)

	updates := 0
	require.NoError(t, b.db.Callback().Update().After("gorm:update").Register("test:count", func(*gorm.DB) { updates++ }))
	began := time.Now()
	status, body = b.request(t, "PATCH", fmt.Sprintf("/api/cards/%d", cards[maxCards-1].ID), `{"position":0}`, asJSON)
	t.Logf("a card that moved all others took %v", time.Since(began))
	assert.Equal(t, 200, status, body)
	assert.Equal(t, maxCards, updates, "one for each card, and no board has more")

	status, _ = b.request(t, "DELETE", fmt.Sprintf("/api/cards/%d", cards[0].ID), "", asJSON)
	assert.Equal(t, 204, status)
	status, _ = b.request(t, "POST", "/api/cards", `{"title":"x","column":"todo"}`, asJSON)
	assert.Equal(t, 201, status)
}

// A page of another name reads nothing of a board that only this machine can reach.
func TestOtherNamesAreRefused(t *testing.T) {
	hosts, err := hostsOf("127.0.0.1:8080")
	require.NoError(t, err)
	b := openTestBoard(t, "")
	b.handler = onlyHosts(hosts, b.handler)
	for host, want := range map[string]int{"127.0.0.1:8080": 200, "localhost:8080": 200, "[::1]:8080": 200, "LOCALHOST": 200, "evil.example:8080": 421, "": 421} {
		for _, path := range []string{"/", "/api/cards", "/rohrpost/rohrpost.js"} {
			request := httptest.NewRequestWithContext(t.Context(), "GET", path, nil)
			request.Host = host
			response := httptest.NewRecorder()
			b.handler.ServeHTTP(response, request)
			assert.Equal(t, want, response.Code, "%s %s", host, path)
		}
	}
	hosts, err = hostsOf("0.0.0.0:80")
	require.NoError(t, err)
	assert.Nil(t, hosts, "the server has names that only its user knows")
}

var asJSON = http.Header{"Content-Type": {"application/json"}}

// change is a change of a card that a page should receive.
type change struct {
	changeType string
	card       string
	fields     []string
}

// Accepted requests reach the pages; refused requests do not.
func TestRequestsReachPages(t *testing.T) {
	for name, file := range map[string]string{"in memory": "", "in a file": filepath.Join(t.TempDir(), "board.db")} {
		t.Run(name, func(t *testing.T) {
			board := openTestBoard(t, file)
			page := rohrposttest.Dial(t, board.hub)
			page.Subscribe(boardGroup)
			for _, step := range []struct {
				method, path, body string
				status             int
				answer             string
				changes            []change
			}{
				{
					"POST", "/api/cards", `{"title":" One ","column":"todo"}`, 201, `{"id":1,"title":"One","column":"todo","position":0}`,
					[]change{{rohrpost.Create, `{"id":1,"title":"One","column":"todo","position":0}`, nil}},
				},
				{
					"POST", "/api/cards", `{"title":"Two","column":"todo"}`, 201, `{"id":2,"title":"Two","column":"todo","position":1}`,
					[]change{{rohrpost.Create, `{"id":2,"title":"Two","column":"todo","position":1}`, nil}},
				},
				{"POST", "/api/cards", `{"title":"","column":"todo"}`, 400, `{"error":"The title is missing."}`, nil},
				{"POST", "/api/cards", `{"title":"x","column":"attic"}`, 400, `{"error":"The column is one of \"todo\", \"doing\" and \"done\"."}`, nil},
				{"POST", "/api/cards", `[`, 400, "", nil},
				{"POST", "/api/cards", `{"title":"` + strings.Repeat("x", maxBody) + `"}`, 413, `{"error":"The request is larger than 4096 bytes."}`, nil},
				{"PATCH", "/api/cards/9", `{"title":"x"}`, 404, `{"error":"This card does not exist."}`, nil},
				{"PATCH", "/api/cards/1", `{}`, 400, "", nil},
				{
					"PATCH", "/api/cards/2", `{"title":"Second"}`, 200, `{"id":2,"title":"Second","column":"todo","position":1}`,
					[]change{{rohrpost.Update, `{"id":2,"title":"Second","column":"todo","position":1}`, []string{"title"}}},
				},
				{"PATCH", "/api/cards/2", `{"position":0}`, 200, `{"id":2,"title":"Second","column":"todo","position":0}`, []change{
					{rohrpost.Update, `{"id":2,"title":"Second","column":"todo","position":0}`, []string{"column", "position"}},
					{rohrpost.Update, `{"id":1,"title":"One","column":"todo","position":1}`, []string{"position"}},
				}},
				{"DELETE", "/api/cards/1", "", 204, "", []change{{rohrpost.Delete, `{"id":1,"title":"One","column":"todo","position":1}`, nil}}},
				{"DELETE", "/api/cards/1", "", 404, `{"error":"This card does not exist."}`, nil},
				{"GET", "/api/cards", "", 200, `[{"id":2,"title":"Second","column":"todo","position":0}]`, nil},
			} {
				status, answer := board.request(t, step.method, step.path, step.body, asJSON)
				assert.Equal(t, step.status, status, "%s %s %s", step.method, step.path, answer)
				if step.answer != "" {
					assert.Equal(t, step.answer, answer)
				}
				for _, want := range step.changes {
					page.Expect(boardGroup, want.changeType, rohrposttest.Object(json.RawMessage(want.card)), rohrposttest.UpdatedFields(want.fields...))
				}
				page.ExpectNothing()
			}
		})
	}
}

func TestRefusesOtherContentAndOrigins(t *testing.T) {
	board := openTestBoard(t, filepath.Join(t.TempDir(), "board.db"))
	rec := rohrposttest.Record(t, board.db)
	for _, test := range []struct {
		header http.Header
		status int
	}{
		{http.Header{"Content-Type": {"text/plain"}}, 415},
		{http.Header{"Content-Type": {"application/json"}, "Sec-Fetch-Site": {"cross-site"}}, 403},
	} {
		status, _ := board.request(t, http.MethodPost, "/api/cards", `{"title":"x","column":"todo"}`, test.header)
		assert.Equal(t, test.status, status)
	}
	rec.AssertNothing(t)
}

// Every page may subscribe to the board and to nothing else.
func TestAccess(t *testing.T) {
	board := openTestBoard(t, filepath.Join(t.TempDir(), "board.db"))
	rohrposttest.Allowed(t, board.hub, []rohrposttest.Access{
		{Group: boardGroup, Want: true},
		{Group: "card-1", Want: false},
	})
}

// A page that subscribes gets the cards from top to bottom.
func TestSnapshot(t *testing.T) {
	board := openTestBoard(t, "")
	page := rohrposttest.Dial(t, board.hub)
	snapshot := func() string {
		reply := page.Call("subscribe", map[string]any{"group": boardGroup, "snapshot": true})
		var data struct{ Snapshot json.RawMessage }
		require.NoError(t, json.Unmarshal(reply.Data, &data))
		return string(data.Snapshot)
	}
	assert.Equal(t, "[]", snapshot())
	for _, body := range []string{`{"title":"One","column":"todo"}`, `{"title":"Two","column":"todo"}`} {
		board.request(t, "POST", "/api/cards", body, asJSON)
	}
	board.request(t, "PATCH", "/api/cards/2", `{"position":0}`, asJSON)
	_, list := board.request(t, "GET", "/api/cards", "", asJSON)
	assert.Equal(t, `[{"id":2,"title":"Two","column":"todo","position":0},{"id":1,"title":"One","column":"todo","position":1}]`, list)
	assert.Equal(t, list, snapshot())
}

// The payload of a card contains only the listed fields.
func TestPayload(t *testing.T) {
	golden, err := os.ReadFile("testdata/card.golden")
	require.NoError(t, err)
	assert.Equal(t, string(golden), rohrposttest.PayloadFields(t, Card{}))
}

// A new board contains the sample cards. A board with cards keeps them.
func TestSampleCards(t *testing.T) {
	board := openTestBoard(t, filepath.Join(t.TempDir(), "board.db"))
	titles := func() (titles []string) {
		require.NoError(t, board.db.Model(&Card{}).Order("id").Pluck("title", &titles).Error)
		return titles
	}
	require.NoError(t, addSampleCards(board.db))
	require.Len(t, titles(), len(sampleCards()))
	todo, err := column(board.db, "todo")
	require.NoError(t, err)
	assert.Equal(t, []string{"Oil the capsules", "Answer the letter from Prague"}, []string{todo[0].Title, todo[3].Title})
	assert.Equal(t, 3, todo[3].Position)

	require.NoError(t, board.db.Where("id > 1").Delete(&Card{}).Error)
	require.NoError(t, addSampleCards(board.db))
	assert.Equal(t, []string{"Oil the capsules"}, titles())
}
