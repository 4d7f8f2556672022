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
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

// README begins
type Article struct {
	rohrpost.NotifyOnChange // every committed change is announced
	gorm.Model
	Title string
}

func newServer(file string) (*gorm.DB, *rohrpost.Hub, http.Handler, error) {
	hub := rohrpost.NewHub(rohrpost.Config{})
	hub.Allow("article-{id}", rohrpost.Anyone) // who may subscribe; nobody without a rule

	db, err := gorm.Open(sqlite.Open(file), &gorm.Config{})
	if err != nil {
		return nil, nil, nil, err
	}
	if err := db.Use(rohrpost.Plugin(hub)); err != nil {
		return nil, nil, nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/ws/rohrpost/", hub)
	return db, hub, mux, nil
}

// README ends

func Example() {
	db, hub, handler, err := newServer("file:readme?mode=memory&cache=shared")
	check(err)
	check(db.AutoMigrate(&Article{}))
	server := httptest.NewServer(handler)
	defer server.Close()
	check(db.Create(&Article{Title: "Pneumatic post"}).Error)

	// A page would do this.
	ws, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http")+"/ws/rohrpost/", nil)
	check(err)
	check(ws.WriteMessage(websocket.TextMessage, []byte(`{"type": "subscribe", "id": 1, "data": {"type": "article", "id": 1}}`)))
	answer, _, _ := strings.Cut(read(ws), `,"epoch":`) // which is random
	fmt.Println(answer)

	check(db.Model(&Article{}).Where("id = ?", 1).Update("title", "Pneumatic dispatch").Error)
	_, data, _ := strings.Cut(read(ws), `"data":`) // the id is a random number
	fmt.Println(data)
	check(ws.Close())
	check(hub.Shutdown(context.Background()))
	// Output:
	// {"id":1,"type":"subscribe","data":{"group":"article-1"
	// {"type":"update","group":"article-1","object":{"id":1,"updated_fields":["title"]},"updated_fields":["title"],"offset":1}}
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
