package rohrpost_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/js"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

// README begins
type Article struct {
	// Every committed change is sent, with the listed columns and the key.
	rohrpost.NotifyOnChange `rohrpost:"group:articles;payload:title"`

	ID    uint
	Title string `json:"title"`
}

func newServer(db *gorm.DB) (*rohrpost.Hub, http.Handler, error) {
	hub := rohrpost.NewHub(rohrpost.Config{})
	hub.Allow("articles", rohrpost.Anyone) // who may subscribe; by default no client may
	hub.Snapshot("articles", func(ctx context.Context, _ rohrpost.SnapshotRequest) (any, error) {
		articles := []map[string]any{} // the rows with which a page begins
		err := db.WithContext(ctx).Model(&Article{}).Select("id", "title").Order("id").Find(&articles).Error
		return articles, err
	})
	mux := http.NewServeMux()
	mux.Handle("/ws/rohrpost/", hub)
	mux.Handle("/rohrpost/", js.Handler()) // the JavaScript client
	return hub, mux, db.Use(rohrpost.Plugin(hub))
}

// README ends

func Example() {
	db, err := gorm.Open(sqlite.Open("file:readme?mode=memory&cache=shared"), &gorm.Config{})
	check(err)
	check(db.AutoMigrate(&Article{}))
	hub, handler, err := newServer(db)
	check(err)
	server := httptest.NewServer(handler)
	defer server.Close()
	check(db.Create(&Article{Title: "Pneumatic post"}).Error)

	// A page would do this.
	ws, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http")+"/ws/rohrpost/", nil)
	check(err)
	check(ws.WriteMessage(websocket.TextMessage, []byte(`{"type": "subscribe", "id": 1, "data": {"group": "articles", "snapshot": true}}`)))
	_, state, _ := strings.Cut(read(ws), `"snapshot":`) // the epoch is random
	fmt.Println(state)

	check(db.Model(&Article{}).Where("id = ?", 1).Update("title", "Pneumatic dispatch").Error)
	_, data, _ := strings.Cut(read(ws), `"data":`) // the id is a random number
	fmt.Println(data)
	check(ws.Close())
	check(hub.Shutdown(context.Background()))
	// Output:
	// [{"id":1,"title":"Pneumatic post"}]}}
	// {"type":"update","group":"articles","object":{"id":1,"title":"Pneumatic dispatch","updated_fields":["title"]},"updated_fields":["title"],"partial":true,"offset":1}}
}

func read(ws *websocket.Conn) string {
	_, message, err := ws.ReadMessage()
	check(err)
	return string(message)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// The code that the README shows is the code above.
func TestReadmeShowsTheExample(t *testing.T) {
	source, err := os.ReadFile("readme_test.go")
	require.NoError(t, err)
	_, code, _ := strings.Cut(string(source), "// README begins\n")
	code, _, _ = strings.Cut(code, "\n// README ends")
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	assert.Contains(t, string(readme), "```go\n"+code+"```\n")
}
