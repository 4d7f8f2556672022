package logs_test

import (
	"bytes"
	"context"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rohrpost/rohrpost/internal/logs"
	"github.com/stretchr/testify/assert"
)

// buffer may be used concurrently.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// Whoever causes a line 10,000 times a second gets ten of them, and a count. Lines with
// another text are not concerned.
func TestLinesAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out buffer
		log := logs.New(slog.New(slog.NewTextHandler(&out, nil)))
		for range 10_000 {
			log.Error("fails", "error", "x")
		}
		log.Warn("other")
		assert.Equal(t, 10, strings.Count(out.String(), "msg=fails"))
		assert.Equal(t, 1, strings.Count(out.String(), "msg=other"))

		time.Sleep(time.Second)
		synctest.Wait()
		assert.Equal(t, 11, strings.Count(out.String(), "msg=fails"))
		assert.Contains(t, out.String(), "skipped=9990")
		assert.NotContains(t, out.String(), "msg=other skipped")

		log.With("user", "u").Error("fails")
		assert.Contains(t, out.String(), "msg=fails user=u", "the next second begins anew")
	})
}

// failing is a handler of the program that fails.
type failing struct {
	slog.Handler
	fail func()
}

func (f failing) Handle(context.Context, slog.Record) error { f.fail(); return nil }

func TestFailingHandler(t *testing.T) {
	for name, fail := range map[string]func(){"panic": func() { panic("no log today") }, "exit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			reached := false
			logs.New(slog.New(failing{slog.DiscardHandler, fail})).Error("x")
			logs.New(slog.New(failing{slog.NewTextHandler(&bytes.Buffer{}, nil), func() { reached = true; fail() }})).Error("x")
			assert.True(t, reached)
		})
	}
}
