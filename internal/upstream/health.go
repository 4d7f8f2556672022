package upstream

import (
	"context"
	"sync"
	"time"
)

const (
	// staleAfter is the time without an answer of the broker after which the members may
	// see old data, and are told so.
	staleAfter = 5 * time.Second

	// probeAfter is the time without an answer after which the hub asks for one.
	probeAfter = 2 * time.Second
)

// health knows whether the broker answers, and whether the hub has caught up since it did
// not.
type health struct {
	remote *remote

	mu       sync.Mutex // guards what follows
	answered time.Time  // when the broker did so last
	current  time.Time  // when deliveries were last known to go on
	probing  bool
	stale    bool
}

// answer notes that the broker has answered.
func (h *health) answer() {
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answered = now
}

// watch tells the Receiver when the members may see old data, and when that has ended.
func (h *health) watch(ctx context.Context) {
	h.answer() // it has yet to be asked
	h.mu.Lock()
	h.current = h.answered
	h.mu.Unlock()
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		probe, changed, stale := h.look(time.Now())
		if changed {
			h.report(stale)
		}
		if probe {
			h.remote.Tasks.Go(h.probe)
		}
	}
}

func (h *health) look(now time.Time) (probe, changed, stale bool) {
	paused := h.remote.orders.isPaused()
	h.mu.Lock()
	defer h.mu.Unlock()
	silent := now.Sub(h.answered)
	if !paused && silent < staleAfter {
		h.current = now
	}
	stale = silent >= staleAfter || now.Sub(h.current) >= staleAfter
	changed = stale != h.stale
	h.stale = stale
	if probe = silent >= probeAfter && !h.probing; probe {
		h.probing = true
	}
	return probe, changed, stale
}

// probe asks the broker for an answer.
func (h *health) probe(ctx context.Context) {
	_ = h.remote.call(ctx, func(ctx context.Context) error { // its success is noted
		_, err := h.remote.Broker.Positions(ctx, []string{orderStream})
		return err
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	h.probing = false
}

func (h *health) report(stale bool) {
	if stale {
		h.remote.Logger.Error("rohrpost: the broker does not answer: the pages show old data", "broker", h.remote.name())
	} else {
		h.remote.Logger.Info("rohrpost: the broker answers again", "broker", h.remote.name())
	}
	h.remote.Receiver.Stale(stale)
}
