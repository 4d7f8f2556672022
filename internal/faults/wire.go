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

// errRefused is a subscribe that was answered with an error.
var errRefused = errors.New("subscribe refused")

// wire is one connection of a page.
type wire struct {
	page     *Page
	ws       *websocket.Conn
	patience time.Duration
	heard    atomic.Int64 // when the last frame came

	asked   map[int]string // group of a subscribe request; belongs to the reader
	answers int            // to them

	writing sync.Mutex
}

func (c *wire) write(text string) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	_ = c.ws.SetWriteDeadline(time.Now().Add(c.patience))
	return c.ws.WriteMessage(websocket.TextMessage, []byte(text))
}

// keepAlive finds out whether the connection is half open.
func (c *wire) keepAlive(done chan struct{}) {
	tick := time.NewTicker(c.page.Quiet)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		silent := time.Since(time.Unix(0, c.heard.Load()))
		if silent > c.patience {
			_ = c.ws.Close()
			return
		}
		if silent > c.page.Quiet && c.write(`{"id":0,"type":"ping"}`) != nil {
			_ = c.ws.Close()
			return
		}
	}
}

func (c *wire) subscribe(id int, group string) error {
	since := ""
	if at, ok := c.page.since(group); ok {
		since = fmt.Sprintf(`,"since":{"epoch":%q,"offset":%d}`, at.Epoch, at.Offset)
	}
	c.asked[id] = group
	return c.write(fmt.Sprintf(`{"id":%d,"type":"subscribe","data":{"group":%q%s}}`, id, group, since))
}

// frame is what the server sends.
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
		Offset    *int64 `json:"offset"`
		Recovered *bool  `json:"recovered"`
		Missed    int64  `json:"missed"`
		Reason    string `json:"reason"`
	} `json:"data"`
}

func (c *wire) take(ctx context.Context, text []byte) error {
	f := frame{}
	if err := json.Unmarshal(text, &f); err != nil {
		return fmt.Errorf("reading %.100s: %w", text, err)
	}
	r := Record{Epoch: f.Data.Epoch, Offset: -1}
	if f.Data.Offset != nil {
		r.Offset = *f.Data.Offset
	}
	switch f.Type {
	case "subscribe":
		return c.joined(ctx, c.asked[int(f.ID)], f, r)
	case "subscription-update":
		if f.Data.Type == "resync" {
			r.Kind, r.Reason = Resync, f.Data.Object.Reason
			c.page.note(f.Data.Group, r)
			return c.page.load(ctx, f.Data.Group)
		}
		r.Kind, r.N = Changed, f.Data.Object.N
		c.page.note(f.Data.Group, r)
	}
	return nil
}

// joined takes the reply to a subscribe request.
func (c *wire) joined(ctx context.Context, group string, f frame, r Record) error {
	if f.Error != "" {
		return fmt.Errorf("%w: %s: %s", errRefused, group, f.Error)
	}
	r.Kind, r.Reason, r.Missed = Joined, f.Data.Reason, f.Data.Missed
	if f.Data.Recovered != nil {
		r.Recovered = fmt.Sprint(*f.Data.Recovered)
	}
	c.page.note(group, r)
	c.answers++
	if r.Recovered == "true" {
		return nil
	}
	return c.page.load(ctx, group)
}
