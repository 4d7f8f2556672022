package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// errSubscribe reports that the server answered a subscribe request with an error.
var errSubscribe = errors.New("subscribe failed")

// clientConn is one connection of a client.
type clientConn struct {
	client    *Client
	ws        *websocket.Conn
	timeout   time.Duration
	lastFrame atomic.Int64 // when the last frame arrived, in Unix nanoseconds

	requested map[int]string // group of each subscribe request, by id; used by the reader only
	replies   int            // to subscribe requests

	writing sync.Mutex
}

func (c *clientConn) write(text string) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	_ = c.ws.SetWriteDeadline(time.Now().Add(c.timeout))
	return c.ws.WriteMessage(websocket.TextMessage, []byte(text))
}

// keepAlive pings an idle connection and closes a half-open one.
func (c *clientConn) keepAlive(done chan struct{}) {
	tick := time.NewTicker(c.client.PingAfter)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		idle := time.Since(time.Unix(0, c.lastFrame.Load()))
		if idle > c.timeout {
			_ = c.ws.Close()
			return
		}
		if idle > c.client.PingAfter && c.write(`{"id":0,"type":"ping"}`) != nil {
			_ = c.ws.Close()
			return
		}
	}
}

func (c *clientConn) subscribe(id int, group string) error {
	since := ""
	if at, ok := c.client.position(group); ok {
		since = fmt.Sprintf(`,"since":{"epoch":%q,"offset":%d}`, at.Epoch, at.Offset)
	}
	c.requested[id] = group
	return c.write(fmt.Sprintf(`{"id":%d,"type":"subscribe","data":{"group":%q%s}}`, id, group, since))
}

// frame is a message from the server.
type frame struct {
	ID    int64  `json:"id"`
	Type  string `json:"type"`
	Error string `json:"error"`
	Data  struct {
		Type   string `json:"type"`
		Group  string `json:"group"`
		Object struct {
			N      int64  `json:"n"`
			Reason string `json:"reason"`
		} `json:"object"`
		Epoch     string `json:"epoch"`
		Prev      *int64 `json:"prev"`
		Offset    *int64 `json:"offset"`
		Recovered *bool  `json:"recovered"`
		Missed    int64  `json:"missed"`
		Reason    string `json:"reason"`
	} `json:"data"`
}

func (c *clientConn) handle(ctx context.Context, text []byte) error {
	f := frame{}
	if err := json.Unmarshal(text, &f); err != nil {
		return fmt.Errorf("decode %.100s: %w", text, err)
	}
	e := Event{Epoch: f.Data.Epoch, Offset: -1}
	if f.Data.Offset != nil {
		e.Offset, e.Prev = *f.Data.Offset, *f.Data.Offset-1
	}
	if f.Data.Prev != nil {
		e.Prev = *f.Data.Prev
	}
	switch f.Type {
	case "subscribe":
		return c.handleReply(ctx, c.requested[int(f.ID)], f, e)
	case "subscription-update":
		if f.Data.Type == "resync" {
			e.Kind, e.Reason = Resync, f.Data.Object.Reason
			c.client.record(f.Data.Group, e)
			return c.client.load(ctx, f.Data.Group)
		}
		e.Kind, e.N = Changed, f.Data.Object.N
		c.client.record(f.Data.Group, e)
	}
	return nil
}

// handleReply handles the reply to a subscribe request.
func (c *clientConn) handleReply(ctx context.Context, group string, f frame, e Event) error {
	if f.Error != "" {
		return fmt.Errorf("%w: %s: %s", errSubscribe, group, f.Error)
	}
	e.Kind, e.Reason, e.Missed = Subscribed, f.Data.Reason, f.Data.Missed
	if f.Data.Recovered != nil {
		e.Recovered = fmt.Sprint(*f.Data.Recovered)
	}
	c.client.record(group, e)
	c.replies++
	if e.Recovered == "true" {
		return nil
	}
	return c.client.load(ctx, group)
}
