package rohrpost_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/gorilla/websocket"
	"github.com/rohrpost/rohrpost"
)

// conversation sends requests to a hub and prints the replies.
func conversation(hub *rohrpost.Hub, requests ...string) {
	server := httptest.NewServer(hub)
	defer server.Close()
	ws, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http"), nil)
	check(err)
	for _, request := range requests {
		check(ws.WriteMessage(websocket.TextMessage, []byte(request)))
	}
	for range requests {
		fmt.Println(read(ws))
	}
	check(ws.Close())
	check(hub.Shutdown(context.Background()))
}

// Rules over the names of groups decide on subscriptions.
func ExampleHub_Allow() {
	hub := rohrpost.NewHub(rohrpost.Config{
		DisableHistory: true, // or the answers would tell where it is
		Authenticate: func(r *http.Request) (rohrpost.Identity, error) {
			return rohrpost.Identity{ID: "ann"}, nil // from a session, a header, a certificate
		},
	})
	hub.Allow("news", rohrpost.Anyone)
	hub.Allow("inbox-{user}", func(_ context.Context, c *rohrpost.Conn, p rohrpost.Params) error {
		if p["user"] != c.Identity().ID {
			return rohrpost.Errorf("not yours")
		}
		return nil
	})
	conversation(hub,
		`{"id": 1, "type": "subscribe", "data": {"group": "news"}}`,
		`{"id": 2, "type": "subscribe", "data": {"type": "inbox", "id": "ann"}}`,
		`{"id": 3, "type": "subscribe", "data": {"type": "inbox", "id": "bob"}}`)
	// Output:
	// {"id":1,"type":"subscribe","data":{"group":"news"}}
	// {"id":2,"type":"subscribe","data":{"group":"inbox-ann"}}
	// {"id":3,"type":"subscribe","error":"ACCESS_DENIED","error_info":{"code":"access_denied","temporary":false}}
}

// A token may come with the request to subscribe, as rohrpost-js sends it.
func ExampleRequestFromContext() {
	hub := rohrpost.NewHub(rohrpost.Config{DisableHistory: true})
	hub.Allow("inbox-{user}", func(ctx context.Context, _ *rohrpost.Conn, p rohrpost.Params) error {
		var token string
		_ = json.Unmarshal(rohrpost.RequestFromContext(ctx).Field("auth_jwt"), &token) // without one it is empty
		if token != "valid for "+p["user"] {
			return rohrpost.Errorf("not yours")
		}
		return nil
	})
	conversation(hub,
		`{"id": 1, "type": "subscribe", "auth_jwt": "valid for ann", "data": {"group": "inbox-ann"}}`,
		`{"id": 2, "type": "subscribe", "auth_jwt": "valid for ann", "data": {"group": "inbox-bob"}}`,
		`{"id": 3, "type": "subscribe", "data": {"group": "inbox-bob"}}`)
	// Output:
	// {"id":1,"type":"subscribe","data":{"group":"inbox-ann"}}
	// {"id":2,"type":"subscribe","error":"ACCESS_DENIED","error_info":{"code":"access_denied","temporary":false}}
	// {"id":3,"type":"subscribe","error":"ACCESS_DENIED","error_info":{"code":"access_denied","temporary":false}}
}

// A page gets the state of a group together with the subscription, and all changes
// after it.
func ExampleHub_SnapshotFor() {
	hub := rohrpost.NewHub(rohrpost.Config{DisableHistory: true})
	hub.Allow("list-{id}", rohrpost.Anyone)
	hub.SnapshotFor("list-{id}", func(_ context.Context, _ *rohrpost.Conn, r rohrpost.SnapshotRequest) (any, error) {
		return []map[string]string{{"id": "1", "title": "from the database, where list_id = " + r.Params["id"]}}, nil
	})
	conversation(hub, `{"id": 1, "type": "subscribe", "data": {"group": "list-7", "snapshot": true}}`)
	// Output:
	// {"id":1,"type":"subscribe","data":{"group":"list-7","snapshot":[{"id":"1","title":"from the database, where list_id = 7"}]}}
}

// A handler answers requests of one type. The client reads only the text of an *Error.
func ExampleHub_Handle() {
	hub := rohrpost.NewHub(rohrpost.Config{})
	hub.Handle("greet", func(_ context.Context, _ *rohrpost.Conn, r *rohrpost.Request) (any, error) {
		var data struct{ Name string }
		if err := r.Bind(&data); err != nil {
			return nil, err
		}
		if data.Name == "" {
			return nil, rohrpost.Errorf("Whom shall I greet?")
		}
		return map[string]string{"text": "Hello, " + data.Name}, nil
	})
	conversation(hub, `{"id": 1, "type": "greet", "data": {"name": "Ann"}}`, `{"id": 2, "type": "greet", "data": {}}`)
	// Output:
	// {"id":1,"type":"greet","data":{"text":"Hello, Ann"}}
	// {"id":2,"type":"greet","error":"Whom shall I greet?","error_info":{"code":"application","temporary":false}}
}

// A handler that waits for something returns Later and answers when it can; the
// requests behind it need not wait.
func ExampleHub_Handle_later() {
	hub := rohrpost.NewHub(rohrpost.Config{})
	print := make(chan func(), 1)
	hub.Handle("report", func(_ context.Context, c *rohrpost.Conn, r *rohrpost.Request) (any, error) {
		print <- func() { _ = c.SendSuccess(r, "twelve pages") } // its error: the connection is closed
		return rohrpost.Later, nil
	})
	hub.Handle("status", func(_ context.Context, c *rohrpost.Conn, r *rohrpost.Request) (any, error) {
		if err := c.SendSuccess(r, "printing"); err != nil {
			return nil, err
		}
		(<-print)()
		return nil, nil
	})
	conversation(hub, `{"id": 1, "type": "report"}`, `{"id": 2, "type": "status"}`)
	// Output:
	// {"id":2,"type":"status","data":"printing"}
	// {"id":1,"type":"report","data":"twelve pages"}
}

// The name of a group has one reading, whatever the values contain.
func ExampleFormatGroup() {
	pattern := "wiki-{team}-{page}"
	for _, p := range []rohrpost.Params{{"team": "acme", "page": "west-plans"}, {"team": "acme-west", "page": "plans"}, {"team": "Grün", "page": "a/b"}} {
		group, err := rohrpost.FormatGroup(pattern, p)
		fmt.Println(group, err)
	}
	_, err := rohrpost.FormatGroup(pattern, rohrpost.Params{"team": "acme"})
	fmt.Println(err)
	// Output:
	// wiki-acme-west-plans <nil>
	// wiki-acme~2Dwest-plans <nil>
	// wiki-Gr~C3~BCn-a~2Fb <nil>
	// rohrpost: group of "wiki-{team}-{page}": no value for "page"
}
