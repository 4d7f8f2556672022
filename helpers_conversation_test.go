package rohrpost

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"sync"
	"time"
)

// conversationHub is the server of testdata/conversations, whose README
// describes it.
func conversationHub() *Hub {
	hub := NewHub(Config{Logger: slog.New(slog.DiscardHandler)})
	hub.Allow("article-{id}", Anyone)
	hub.SnapshotFor("article-{id}", func(_ context.Context, _ *Conn, r SnapshotRequest) (any, error) { return []Params{r.Params}, nil })
	hub.Allow("plain-{id}", Anyone)
	hub.Allow("secret-{id}", func(context.Context, *Conn, Params) error { return Errorf("no") })
	hub.Allow("broken-{id}", func(context.Context, *Conn, Params) error { return errors.New("no database") })
	hub.Allow("panic-{id}", func(context.Context, *Conn, Params) error { panic("oops") })

	returns := func(name string, v any, err error) {
		hub.Handle(name, func(context.Context, *Conn, *Request) (any, error) { return v, err })
	}
	returns("nothing", nil, nil)
	returns("zero", 0, nil)
	returns("html", "<b>ä", nil)
	returns("nan", math.NaN(), nil)
	returns("refuse", nil, Errorf("Not today."))
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
	hub.Handle("slow", func(ctx context.Context, _ *Conn, _ *Request) (any, error) {
		select {
		case <-time.After(20 * time.Millisecond):
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	hub.Handle("hello", hello)
	hub.Handle("bye", func(_ context.Context, c *Conn, _ *Request) (any, error) {
		return nil, errors.Join(c.Send(Message{Type: "bye"}), c.Close(4000, "bye"))
	})
	handleLater(hub)
	return hub
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
