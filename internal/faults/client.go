package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// Client is a well-behaved client: it subscribes from its last positions, pings an idle
// connection, closes a half-open one, reconnects, and loads a snapshot when the server
// says that its data may be outdated. It logs every event. Events and Last may be called
// while Run runs.
type Client struct {
	URL    string
	Groups []string

	// Load returns a snapshot of a group. Defaults to nil: the client loads no snapshots.
	Load func(ctx context.Context, group string) ([]int64, error)

	// PingAfter is the time without a frame after which the client pings. Timeout is the
	// time without a frame after which it reconnects; it doubles with each failed attempt.
	PingAfter, Timeout time.Duration

	// MaxBackoff limits the delay before a reconnect. The first delay is about 1/16 of it.
	MaxBackoff time.Duration

	mu        sync.Mutex // guards the fields below
	events    map[string][]Event
	positions map[string]position
	last      map[string]int64
}

type position struct {
	Epoch  string `json:"epoch"`
	Offset int64  `json:"offset"`
}

// Run connects and reconnects until ctx ends.
func (c *Client) Run(ctx context.Context) {
	c.mu.Lock()
	c.events, c.positions, c.last = map[string][]Event{}, map[string]position{}, map[string]int64{}
	c.mu.Unlock()
	backoff, timeout := c.MaxBackoff/16, c.Timeout
	for ctx.Err() == nil {
		subscribed, _ := c.connect(ctx, timeout) // reconnect after any error
		if timeout *= 2; subscribed {
			backoff, timeout = c.MaxBackoff/16, c.Timeout // reset only now, to give a slow server time
		}
		select {
		case <-time.After(backoff/2 + rand.N(backoff)):
		case <-ctx.Done():
		}
		backoff = min(2*backoff, c.MaxBackoff)
	}
}

// Events returns a copy of the client's log of a group.
func (c *Client) Events(group string) []Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Event(nil), c.events[group]...)
}

// Last returns the highest number among the changes of a group that the client knows.
func (c *Client) Last(group string) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last[group]
}

// AllSubscribed reports whether clients have subscribed to all their groups.
func AllSubscribed(clients []*Client) bool {
	for _, c := range clients {
		for _, group := range c.Groups {
			if len(c.Events(group)) == 0 {
				return false
			}
		}
	}
	return true
}

// connect opens one connection and reads from it until it ends. It reports whether
// the client subscribed to all groups.
func (c *Client) connect(ctx context.Context, timeout time.Duration) (subscribed bool, err error) {
	dialer := websocket.Dialer{HandshakeTimeout: timeout, ReadBufferSize: 1024, WriteBufferSize: 512}
	ws, _, err := dialer.DialContext(ctx, c.URL, http.Header{})
	if err != nil {
		return false, err
	}
	conn := &clientConn{client: c, ws: ws, timeout: timeout, requested: map[int]string{}}
	stop := context.AfterFunc(ctx, func() { _ = ws.Close() })
	var pinger sync.WaitGroup
	done := make(chan struct{})
	defer func() {
		stop()
		_ = ws.Close()
		close(done)
		pinger.Wait()
		for _, group := range c.Groups {
			c.record(group, Event{Kind: Disconnected, Offset: -1})
		}
	}()
	conn.lastFrame.Store(time.Now().UnixNano())
	pinger.Go(func() { conn.keepAlive(done) })
	for i, group := range c.Groups {
		if err := conn.subscribe(i+1, group); err != nil {
			return false, err
		}
	}
	for {
		_, frame, err := ws.ReadMessage()
		if err == nil {
			conn.lastFrame.Store(time.Now().UnixNano())
			err = conn.handle(ctx, frame)
		}
		if err != nil {
			return conn.replies == len(c.Groups), err
		}
	}
}

func (c *Client) record(group string, e Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events[group] = append(c.events[group], e)
	switch {
	case e.Kind == Changed:
		c.last[group] = max(c.last[group], e.N)
	case e.Kind == Loaded && len(e.Rows) > 0:
		c.last[group] = max(c.last[group], e.Rows[len(e.Rows)-1])
	}
	switch {
	case e.Offset < 0 || e.Recovered == "true" && e.Missed > 0: // the replay still follows
	case e.Epoch != "":
		c.positions[group] = position{e.Epoch, e.Offset}
	case e.Kind == Changed || e.Kind == Resync:
		c.positions[group] = position{c.positions[group].Epoch, e.Offset}
	}
}

func (c *Client) position(group string) (position, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.positions[group]
	return at, ok
}

func (c *Client) load(ctx context.Context, group string) error {
	if c.Load == nil {
		return nil
	}
	rows, err := c.Load(ctx, group)
	if err != nil {
		c.discardPosition(group) // the server asks only once: force another snapshot
		return fmt.Errorf("load %s: %w", group, err)
	}
	c.record(group, Event{Kind: Loaded, Rows: rows, Offset: -1})
	return nil
}

// discardPosition makes the next subscription start without a position.
func (c *Client) discardPosition(group string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.positions, group)
}
