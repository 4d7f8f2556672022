package rohrpost

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/gorilla/websocket"
)

var errFull = errors.New("too many connections")

// Shutdown ends the hub: new connections are refused with 503, the open ones
// are sent what waits for them and closed with 1012, and it returns when all
// goroutines of the hub have ended. The contexts of running handlers are
// cancelled. When ctx ends first, what is left is cut and the error of ctx
// returned; then only handlers that do not look at their context may still run.
// Shutdown may be called more than once.
func (h *Hub) Shutdown(ctx context.Context) error {
	for _, c := range h.refuse() {
		c.end(websocket.CloseServiceRestart, "service restart", false)
	}
	select {
	case <-h.drained:
		if err := h.endTasks(ctx); err != nil {
			return fmt.Errorf("shut down: %w", err)
		}
		return nil
	case <-ctx.Done():
	}
	left := h.connections()
	for _, c := range left {
		c.cut()
	}
	h.tasks.Cancel()
	if h.memory != nil {
		h.memory.close()
	}
	return fmt.Errorf("shut down with %d connections left: %w", len(left), ctx.Err())
}

// endTasks ends what is not a connection's.
func (h *Hub) endTasks(ctx context.Context) error {
	for _, w := range h.workers {
		if err := w.wait(ctx); err != nil {
			return err
		}
	}
	if h.remote != nil {
		flushing, cancel := context.WithTimeout(ctx, brokerTimeout)
		defer cancel()
		h.remote.lane.flush(flushing)
	} else {
		h.memory.close()
	}
	return h.tasks.End(ctx)
}

// refuse closes the door and returns who is inside.
func (h *Hub) refuse() []*Conn {
	h.mu.Lock()
	first := h.closed.CompareAndSwap(false, true)
	empty := h.open == 0
	conns := slices.Collect(maps.Keys(h.conns))
	h.mu.Unlock()
	if first && empty {
		close(h.drained)
	}
	return conns
}

func (h *Hub) connections() []*Conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Keys(h.conns))
}

// enter takes a place for a connection that is about to be opened. Who got one
// gives it back with exit; Shutdown waits for that.
func (h *Hub) enter() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed.Load() {
		return ErrClosed
	}
	if over(h.open+1, h.config.MaxConnections) {
		return errFull
	}
	h.open++
	return nil
}

func (h *Hub) exit() {
	h.mu.Lock()
	h.open--
	last := h.closed.Load() && h.open == 0
	h.mu.Unlock()
	if last {
		close(h.drained)
	}
}

// add lists an open connection, unless the hub was shut down meanwhile.
func (h *Hub) add(c *Conn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conns[c] = struct{}{}
	return !h.closed.Load()
}

func (h *Hub) remove(c *Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.conns, c)
}
