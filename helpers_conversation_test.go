package rohrpost

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"
)

// conversationHub is the server of testdata/conversations, whose README
// describes it.
func conversationHub(c conversation) *Hub {
	limits := Limits{MaxSendQueueBytes: c.MaxSendQueueBytes, MaxProtocolErrors: -1} // some conversations show more errors
	config := Config{Logger: slog.New(slog.DiscardHandler), Limits: limits}
	if c.Tokens {
		config.AuthenticateToken = conversationToken
	}
	hub := NewHub(config)
	hub.Allow("article-{id}", Anyone)
	hub.SnapshotFor("article-{id}", func(_ context.Context, _ *Conn, r SnapshotRequest) (any, error) { return []Params{r.Params}, nil })
	hub.Allow("plain-{id}", Anyone)
	hub.Allow("secret-{id}", func(context.Context, *Conn, Params) error { return Errorf("no") })
	hub.Allow("broken-{id}", func(context.Context, *Conn, Params) error { return errors.New("no database") })
	hub.Allow("panic-{id}", func(context.Context, *Conn, Params) error { panic("oops") })

	hub.AllowViews("view-{id}", []string{"staff", "guest"}, func(ctx context.Context, _ *Conn, _ Params) (view string, err error) {
		return view, json.Unmarshal(RequestFromContext(ctx).Field("auth_jwt"), &view)
	})
	hub.Snapshot("view-{id}", func(_ context.Context, r SnapshotRequest) (any, error) {
		return []map[string]string{{"id": r.Params["id"], "for": r.View}}, nil
	})

	allowSnapshots(hub)
	returns := func(name string, v any, err error) {
		hub.Handle(name, func(context.Context, *Conn, *Request) (any, error) { return v, err })
	}
	returns("nothing", nil, nil)
	returns("zero", 0, nil)
	returns("html", "<b>ä", nil)
	returns("nan", math.NaN(), nil)
	returns("refuse", nil, Errorf("Not today."))
	returns("complain", nil, ErrorContent(map[string][]string{"title": {"is too short"}}))
	returns("fail", nil, errors.New("a secret"))
	hub.Handle("answer", func(_ context.Context, _ *Conn, r *Request) (any, error) { return r.Data, nil })
	hub.Handle("reply", func(_ context.Context, _ *Conn, r *Request) (any, error) { return Reply{Data: r.Data}, nil })
	hub.Handle("token", func(_ context.Context, _ *Conn, r *Request) (any, error) { return r.Field("auth_jwt"), nil })
	hub.Handle("panic", func(context.Context, *Conn, *Request) (any, error) { panic("oops") })
	hub.Handle("bind", func(_ context.Context, _ *Conn, r *Request) (any, error) {
		var list []int
		return list, r.Bind(&list)
	})
	hub.Handle("refuse-with-data", func(_ context.Context, c *Conn, r *Request) (any, error) {
		return nil, c.SendError(r, Errorf("Not today."), map[string]string{"try": "tomorrow"})
	})
	hub.Handle("slow", after(20*time.Millisecond))
	hub.Handle("wait", after(300*time.Millisecond))
	hub.Handle("hello", hello)
	hub.Handle("leave", leave)
	hub.Handle("others", func(_ context.Context, c *Conn, _ *Request) (any, error) {
		return nil, c.SendToOthers("article-7", Message{Type: "typing", Data: 1})
	})
	hub.Handle("save", func(ctx context.Context, _ *Conn, _ *Request) (any, error) {
		return nil, hub.Publish(ctx, Change{Group: "article-7", Type: Update})
	})
	hub.Handle("bye", func(_ context.Context, c *Conn, _ *Request) (any, error) {
		return nil, errors.Join(c.Send(Message{Type: "bye"}), c.Close(4000, "bye"))
	})
	handleLater(hub)
	return hub
}

// conversationToken knows the tokens that begin with the name of ann or bob.
func conversationToken(_ context.Context, token string) (Identity, error) {
	user, _, _ := strings.Cut(token, ",")
	if user != "ann" && user != "bob" {
		return Identity{}, Errorf("The token is not valid.")
	}
	return Identity{ID: user}, nil
}

func hello(_ context.Context, c *Conn, _ *Request) (any, error) {
	return nil, errors.Join(
		c.Send(Message{Type: "hello"}),
		c.Send(Message{ID: 0, Type: "hello", Data: false}),
		c.Send(Message{ID: "", Data: ""}),
		c.Send(Message{ID: 7, Data: json.RawMessage("null")}),
		c.Send(Message{Error: "Too late."}),
		c.Send(Message{ID: json.RawMessage("1.50"), Type: "hello", Data: json.RawMessage(`{"a": 1}`), Error: "Half."}),
	)
}

func handleLater(hub *Hub) {
	var mu sync.Mutex
	waiting := map[*Conn]*Request{}
	hub.Handle("later", func(_ context.Context, c *Conn, r *Request) (any, error) {
		mu.Lock()
		defer mu.Unlock()
		waiting[c] = r
		return nil, Later
	})
	hub.Handle("now", func(_ context.Context, c *Conn, _ *Request) (any, error) {
		mu.Lock()
		defer mu.Unlock()
		return nil, c.SendSuccess(waiting[c], "at last")
	})
}

// allowSnapshots allows groups whose snapshots are slow or long.
func allowSnapshots(hub *Hub) {
	hub.Allow("slow-{id}", Anyone)
	hub.Snapshot("slow-{id}", func(ctx context.Context, _ SnapshotRequest) (any, error) {
		select {
		case <-time.After(300 * time.Millisecond):
			return []int(nil), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	hub.Allow("away-{id}", func(context.Context, *Conn, Params) error { return ErrUnavailable })
	type row struct {
		ID    int    `json:"id"`
		Title string `json:"title"`
	}
	hub.Allow("list-{length}", Anyone)
	hub.Snapshot("list-{length}", func(_ context.Context, r SnapshotRequest) (any, error) {
		length, err := strconv.Atoi(r.Params["length"])
		rows := make([]row, length)
		for i := range rows {
			rows[i] = row{i + 1, strings.Repeat("x", 60)}
		}
		return rows, err
	})
}

// after returns a handler that returns nothing after a time.
func after(d time.Duration) HandlerFunc {
	return func(ctx context.Context, _ *Conn, _ *Request) (any, error) {
		select {
		case <-time.After(d):
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// leave ends the membership in the group that is the data.
func leave(_ context.Context, c *Conn, r *Request) (any, error) {
	var group string
	err := r.Bind(&group)
	if err == nil {
		c.Leave(group)
	}
	return nil, err
}
