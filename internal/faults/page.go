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

// Page does what a good page does: it connects, subscribes to its groups from the
// positions that it has, pings when nothing comes, gives up what is half open,
// connects again, and loads the state when it is told that it may be stale. It
// writes down all it learns.
type Page struct {
	URL    string
	Groups []string

	// Load returns the state of a group. Defaults to none: then it is not loaded.
	Load func(ctx context.Context, group string) ([]int64, error)

	// Quiet is the time without a frame after which it pings, and DeadAfter the one
	// after which it connects again, twice as long after each try in vain.
	Quiet, DeadAfter time.Duration

	// Backoff is the longest wait before it connects again, and begins as a part of
	// that.
	Backoff time.Duration

	mu        sync.Mutex // guards what follows
	records   map[string][]Record
	positions map[string]position
	last      map[string]int64
}

type position struct {
	Epoch  string `json:"epoch"`
	Offset int64  `json:"offset"`
}

// Run lives until ctx ends.
func (p *Page) Run(ctx context.Context) {
	p.mu.Lock()
	p.records, p.positions, p.last = map[string][]Record{}, map[string]position{}, map[string]int64{}
	p.mu.Unlock()
	wait, patience := p.Backoff/16, p.DeadAfter
	for ctx.Err() == nil {
		joined, _ := p.connect(ctx, patience) // whatever it was, it connects again
		if patience *= 2; joined {
			wait, patience = p.Backoff/16, p.DeadAfter // not before: a server that is too slow gets time
		}
		select {
		case <-time.After(wait/2 + rand.N(wait)):
		case <-ctx.Done():
		}
		wait = min(2*wait, p.Backoff)
	}
}

// Records returns what the page knows of a group.
func (p *Page) Records(group string) []Record {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Record(nil), p.records[group]...)
}

// Last returns the newest change that the page knows of a group.
func (p *Page) Last(group string) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last[group]
}

// connect opens one connection and stays on it until it ends. It reports whether
// it got into all groups.
func (p *Page) connect(ctx context.Context, patience time.Duration) (joined bool, err error) {
	dialer := websocket.Dialer{HandshakeTimeout: patience, ReadBufferSize: 1024, WriteBufferSize: 512}
	ws, _, err := dialer.DialContext(ctx, p.URL, http.Header{})
	if err != nil {
		return false, err
	}
	c := &wire{page: p, ws: ws, patience: patience, asked: map[int]string{}}
	stop := context.AfterFunc(ctx, func() { _ = ws.Close() })
	var pinger sync.WaitGroup
	done := make(chan struct{})
	defer func() {
		stop()
		_ = ws.Close()
		close(done)
		pinger.Wait()
		for _, group := range p.Groups {
			p.note(group, Record{Kind: Ended, Offset: -1})
		}
	}()
	c.heard.Store(time.Now().UnixNano())
	pinger.Go(func() { c.keepAlive(done) })
	for i, group := range p.Groups {
		if err := c.subscribe(i+1, group); err != nil {
			return false, err
		}
	}
	for {
		_, frame, err := ws.ReadMessage()
		if err == nil {
			c.heard.Store(time.Now().UnixNano())
			err = c.take(ctx, frame)
		}
		if err != nil {
			return c.answers == len(p.Groups), err
		}
	}
}

func (p *Page) note(group string, r Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.records[group] = append(p.records[group], r)
	switch {
	case r.Kind == Changed:
		p.last[group] = max(p.last[group], r.N)
	case r.Kind == Loaded && len(r.Rows) > 0:
		p.last[group] = max(p.last[group], r.Rows[len(r.Rows)-1])
	}
	switch {
	case r.Offset < 0 || r.Recovered == "true": // what was missed has yet to come
	case r.Epoch != "":
		p.positions[group] = position{r.Epoch, r.Offset}
	case r.Kind == Changed || r.Kind == Resync:
		p.positions[group] = position{p.positions[group].Epoch, r.Offset}
	}
}

func (p *Page) since(group string) (position, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.positions[group]
	return at, ok
}

func (p *Page) load(ctx context.Context, group string) error {
	if p.Load == nil {
		return nil
	}
	rows, err := p.Load(ctx, group)
	if err != nil {
		p.forget(group) // it was told once that it must load
		return fmt.Errorf("load %s: %w", group, err)
	}
	p.note(group, Record{Kind: Loaded, Rows: rows, Offset: -1})
	return nil
}

// forget makes the page subscribe anew.
func (p *Page) forget(group string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.positions, group)
}
