package rohrpost_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"

	"github.com/gorilla/websocket"
	"github.com/rohrpost/rohrpost"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

// Invoice shows its costs to the staff only, and drafts to nobody else.
type Invoice struct {
	rohrpost.NotifyOnChange `rohrpost:"group:invoices"`
	ID                      uint
	Customer                string
	Cost                    int
	Draft                   bool
}

// PushNotificationDataTx is called once for each view, however many members it has.
func (i Invoice) PushNotificationDataTx(_ *gorm.DB, q rohrpost.PayloadQuery) (any, error) {
	switch {
	case q.View == "staff":
		return map[string]any{"id": i.ID, "customer": i.Customer, "cost": i.Cost, "draft": i.Draft}, nil
	case i.Draft:
		return nil, nil // hides the row
	}
	return map[string]any{"id": i.ID, "customer": i.Customer}, nil
}

// The members of a group see what their roles allow.
func ExampleHub_AllowViews() {
	hub := rohrpost.NewHub(rohrpost.Config{})
	hub.AllowViews("invoices", []string{"staff", "guest"}, func(ctx context.Context, c *rohrpost.Conn, _ rohrpost.Params) (string, error) {
		var role string // a program would look it up for c.Identity()
		err := json.Unmarshal(rohrpost.RequestFromContext(ctx).Field("auth_jwt"), &role)
		return role, err
	})
	db, err := gorm.Open(sqlite.Open("file:invoices?mode=memory&cache=shared"), &gorm.Config{})
	check(err)
	check(db.AutoMigrate(&Invoice{}))
	check(db.Use(rohrpost.Plugin(hub)))
	server := httptest.NewServer(hub)
	defer server.Close()
	pages := map[string]*websocket.Conn{}
	for _, role := range []string{"staff", "guest"} {
		ws, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http"), nil)
		check(err)
		check(ws.WriteMessage(websocket.TextMessage, []byte(`{"type": "subscribe", "id": 1, "auth_jwt": "`+role+`", "data": {"group": "invoices"}}`)))
		read(ws)
		pages[role] = ws
	}

	check(db.Create(&Invoice{Customer: "Ann", Cost: 7, Draft: true}).Error)
	check(db.Model(&Invoice{ID: 1}).Update("draft", false).Error)
	check(db.Model(&Invoice{ID: 1}).Update("draft", true).Error)

	for _, role := range []string{"staff", "staff", "staff", "guest", "guest"} {
		_, data, _ := strings.Cut(read(pages[role]), `"data":{`)
		fmt.Println(role, "{"+strings.TrimSuffix(data, "}"))
	}
	for _, ws := range pages {
		check(ws.Close())
	}
	check(hub.Shutdown(context.Background()))
	// Output:
	// staff {"type":"create","group":"invoices","object":{"cost":7,"customer":"Ann","draft":true,"id":1},"offset":1}
	// staff {"type":"update","group":"invoices","object":{"cost":7,"customer":"Ann","draft":false,"id":1,"updated_fields":["draft"]},"updated_fields":["draft"],"offset":2}
	// staff {"type":"update","group":"invoices","object":{"cost":7,"customer":"Ann","draft":true,"id":1,"updated_fields":["draft"]},"updated_fields":["draft"],"offset":3}
	// guest {"type":"update","group":"invoices","object":{"customer":"Ann","id":1},"offset":1}
	// guest {"type":"delete","group":"invoices","object":{"id":1},"offset":2}
}
