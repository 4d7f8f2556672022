// Package logs stands between a hub and the program's slog.Handler: a client that causes
// the same line again and again fills no disk, and a handler that fails stops no
// goroutine of the hub.
package logs

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/rohrpost/rohrpost/internal/panics"
)

const (
	// perSecond is the number of lines with one message that are logged in a second. The
	// others are counted, and one more line tells their number.
	perSecond = 10

	// maxMessages is the number of messages that are counted one by one.
	maxMessages = 1000
)

// New returns a logger that writes to the handler of l, at most ten lines a second for
// each message.
func New(l *slog.Logger) *slog.Logger {
	return slog.New(&handler{next: l.Handler(), seconds: &seconds{counts: make(map[string]*count)}})
}

type handler struct {
	next    slog.Handler
	seconds *seconds
}

// seconds counts the lines of the current second, by message.
type seconds struct {
	mu     sync.Mutex
	counts map[string]*count
}

// count exists from the first line of a second to the end of that second.
type count struct{ logged, skipped int }

// Enabled implements slog.Handler.
func (h *handler) Enabled(ctx context.Context, level slog.Level) (enabled bool) {
	_ = panics.Guard(func() error { enabled = h.next.Enabled(ctx, level); return nil })
	return enabled
}

// Handle implements slog.Handler.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	if !h.pass(r.Message, r.Level) {
		return nil
	}
	return panics.Isolate(func() error { return h.next.Handle(ctx, r) })
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{next: h.next.WithAttrs(attrs), seconds: h.seconds}
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{next: h.next.WithGroup(name), seconds: h.seconds}
}

// pass reports whether a line is logged.
func (h *handler) pass(message string, level slog.Level) bool {
	s := h.seconds
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counts[message]
	if c == nil {
		if len(s.counts) == maxMessages {
			return false
		}
		c = &count{}
		s.counts[message] = c
		time.AfterFunc(time.Second, func() { h.endSecond(message, level) })
	}
	if c.logged < perSecond {
		c.logged++
		return true
	}
	c.skipped++
	return false
}

// endSecond logs how many lines were not.
func (h *handler) endSecond(message string, level slog.Level) {
	s := h.seconds
	s.mu.Lock()
	c := s.counts[message]
	delete(s.counts, message)
	s.mu.Unlock()
	if c.skipped == 0 {
		return
	}
	r := slog.NewRecord(time.Now(), level, message, 0)
	r.Add("skipped", c.skipped, "reason", "ten lines with this text are logged in a second")
	_ = panics.Isolate(func() error { return h.next.Handle(context.Background(), r) })
}
