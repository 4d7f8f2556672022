package rohrpost

import (
	"bytes"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rohrpost/rohrpost/internal/wire"
	"github.com/stretchr/testify/assert"
)

// logPage shows the log of a program on a page.
type logPage struct{ hub atomic.Pointer[Hub] }

// Write is called with the lock of the log handler.
func (l *logPage) Write(p []byte) (int, error) {
	if hub := l.hub.Load(); hub != nil {
		_ = hub.Send("logs", Message{Type: "line", Data: string(bytes.TrimSpace(p))})
	}
	return len(p), nil
}

// A program that shows its log on a page goes on when that page is slow.
func TestSlowPageOfALog(t *testing.T) {
	page := &logPage{}
	logger := slog.New(slog.NewTextHandler(page, nil))
	hub := NewHub(Config{Logger: logger, Limits: Limits{MaxSendQueueBytes: 64 << 10}})
	hub.Allow("logs", Anyone)
	ws := pipe(t, hub)
	join(t, ws, "logs")
	page.hub.Store(hub)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 10_000 {
			if logger.Info(strings.Repeat("x", 1000)); hub.Stats().SlowConsumers > 0 {
				return
			}
		}
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("the log waits for itself")
	}
	assert.EqualValues(t, 1, hub.Stats().SlowConsumers)
	assert.Equal(t, wire.CloseSlowConsumer, closeCode(ws))
	shutDown(t, hub)
}
