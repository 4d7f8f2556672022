package rohrpost_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"

	"github.com/gorilla/websocket"
	"github.com/rohrpost/rohrpost"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

// Card belongs to a column of a board; the tag says from what its groups are made.
type Card struct {
	rohrpost.NotifyOnChange `rohrpost:"depends:lane,owner"`
	ID                      uint
	Lane, Owner, Title      string
	DeletedAt               gorm.DeletedAt
}

// GroupNames: everybody who looks at the lane, and the owner. A lane may be called
// "to do/this week", and an owner "ann@example.com". A card without one is in no group of it:
// the error leaves the name empty.
func (c Card) GroupNames(string) []string {
	lane, _ := rohrpost.FormatGroup("lane-{name}", rohrpost.Params{"name": c.Lane})
	owner, _ := rohrpost.FormatGroup("owner-{mail}", rohrpost.Params{"mail": c.Owner})
	return []string{lane, owner}
}

func (c Card) PushNotificationData([]string, string) any {
	return map[string]any{"id": c.ID, "title": c.Title}
}

// A page that shows a group sees rows come and go: by create and delete, by moves
// from one group to another, by soft deletes and restores.
func ExampleGroupsNamer() {
	hub := rohrpost.NewHub(rohrpost.Config{})
	hub.Allow("lane-{name}", rohrpost.Anyone)
	db, err := gorm.Open(sqlite.Open("file:cards?mode=memory&cache=shared"), &gorm.Config{})
	check(err)
	check(db.AutoMigrate(&Card{}))
	check(db.Use(rohrpost.Plugin(hub)))
	server := httptest.NewServer(hub)
	defer server.Close()
	ws, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http"), nil)
	check(err)
	check(ws.WriteMessage(websocket.TextMessage, []byte(`{"type": "subscribe", "id": 1, "data": {"group": "lane-todo"}}`)))
	read(ws)

	check(db.Create(&[]Card{{Lane: "todo", Owner: "ann", Title: "a"}, {Lane: "done", Owner: "bob", Title: "b"}}).Error)
	check(db.Model(&Card{}).Where("title = ?", "a").Update("title", "A").Error)
	check(db.Model(&Card{}).Where("owner = ?", "ann").Update("lane", "done").Error)
	check(db.Model(&Card{}).Where("lane = ?", "done").Update("lane", "todo").Error)
	check(db.Delete(&Card{ID: 2}).Error)
	check(db.WithContext(rohrpost.WithoutNotifyFor[Card](context.Background())).Create(&Card{Lane: "todo"}).Error)
	check(db.Unscoped().Model(&Card{ID: 2}).Update("deleted_at", nil).Error)

	for range 7 {
		_, data, _ := strings.Cut(read(ws), `"data":{`)
		fmt.Println("{" + strings.TrimSuffix(data, "}"))
	}
	check(ws.Close())
	check(hub.Shutdown(context.Background()))
	// Output:
	// {"type":"create","group":"lane-todo","object":{"id":1,"title":"a"},"offset":1}
	// {"type":"update","group":"lane-todo","object":{"id":1,"title":"A","updated_fields":["title"]},"updated_fields":["title"],"offset":2}
	// {"type":"delete","group":"lane-todo","object":{"id":1,"title":"A"},"offset":3}
	// {"type":"create","group":"lane-todo","object":{"id":1,"title":"A"},"offset":4}
	// {"type":"create","group":"lane-todo","object":{"id":2,"title":"b"},"offset":5}
	// {"type":"delete","group":"lane-todo","object":{"id":2,"title":"b"},"offset":6}
	// {"type":"create","group":"lane-todo","object":{"id":2,"title":"b"},"offset":7}
}
