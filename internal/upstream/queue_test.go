package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/tasks"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fakeBroker takes batches, or fails.
type fakeBroker struct {
	broker.Broker
	down   atomic.Bool
	limits broker.Limits
	refuse func(b broker.Batch) bool // nil: none

	mu        sync.Mutex
	taken     uint64
	calls     int
	batches   []broker.Batch
	published []broker.Message
}

func (b *fakeBroker) Limits() broker.Limits { return b.limits }

func (b *fakeBroker) Publish(_ context.Context, batches []broker.Batch) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.calls++; b.down.Load() {
		return errors.New("down")
	}
	for _, batch := range batches {
		if batch.Number <= b.taken {
			continue
		}
		if b.refuse != nil && b.refuse(batch) {
			return &broker.RefusedError{Source: batch.Source, Number: batch.Number, Err: errors.New("too large")}
		}
		b.taken = batch.Number
		b.batches = append(b.batches, batch)
		b.published = append(b.published, batch.Messages...)
	}
	return nil
}

// texts are those of the messages, without the byte that codec adds.
func (b *fakeBroker) texts() (texts []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.published {
		texts = append(texts, m.Stream+" "+string(m.Payload[1:]))
	}
	return texts
}

type fakeReceiver struct{ Receiver }

func (fakeReceiver) Resync(group string, object json.RawMessage) (broker.Message, error) {
	return broker.Message{Stream: group, Payload: object}, nil
}

func newTestRemote(t *testing.T, b broker.Broker) *remote {
	group := tasks.New()
	r := New(Config{
		Broker: b, Receiver: fakeReceiver{}, Logger: slog.New(slog.DiscardHandler), Tasks: group,
		Skipped: new(atomic.Uint64), Foreign: new(atomic.Uint64), Lost: new(atomic.Uint64),
		AnyGroup: "{any}", Overflow: json.RawMessage(`"overflow"`),
	}).(*remote)
	t.Cleanup(func() { require.NoError(t, group.End(context.Background())) })
	return r
}

func text(stream, payload string) broker.Message {
	return broker.Message{Stream: stream, Payload: []byte(payload)}
}

// An error that goes on is logged once a minute, and another one at once.
func TestErrorsOfRepeatedCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRemote(t, &fakeBroker{})
		var lines strings.Builder
		r.Logger = slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				a.Value = slog.DurationValue(a.Value.Time().Sub(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).Round(time.Minute))
			}
			return a
		}}))
		calls := 0
		require.NoError(t, r.retry(t.Context(), "call", func(context.Context) error {
			switch calls++; {
			case calls <= 150:
				return errors.New("full")
			case calls <= 200:
				return errors.New("away")
			}
			return nil
		}))
		line := "time=%s level=ERROR msg=\"rohrpost: call\" error=%s attempts=%d\n"
		assert.Equal(t, fmt.Sprintf(line, "0s", "full", 1)+fmt.Sprintf(line, "1m0s", "full", 66)+fmt.Sprintf(line, "2m0s", "full", 126)+
			fmt.Sprintf(line, "2m0s", "away", 151), lines.String())
	})
}

// TestQueueIsBounded publishes more than the queue holds while the broker is down: the
// group gets one resync in place of the dropped messages.
func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fakeBroker{}
		r := newTestRemote(t, b)
		b.down.Store(true)
		r.queue.limit = 100 << 10
		r.Publish([]broker.Message{text("g", "first")})
		synctest.Wait() // the queue is calling the broker
		for range 1000 {
			r.Publish([]broker.Message{text("g", strings.Repeat("x", 1<<10))})
		}
		r.queue.mu.Lock()
		assert.LessOrEqual(t, r.queue.bytes, 100<<10)
		assert.LessOrEqual(t, len(r.queue.waiting), 101)
		waiting := len(r.queue.waiting)
		r.queue.mu.Unlock()
		b.down.Store(false)
		time.Sleep(5 * time.Second) // the queue retries
		r.Publish([]broker.Message{text("g", "last")})
		require.NoError(t, r.Flush(t.Context()))
		got := b.texts()
		assert.Len(t, got, waiting+2)
		assert.Equal(t, `g "overflow"`, got[waiting], "in place of what was dropped")
		assert.Equal(t, "g first", got[0])
		assert.Equal(t, "g last", got[len(got)-1])
		assert.EqualValues(t, 1000-(waiting-1), r.Lost.Load())
	})
}

// publishing is a log handler that publishes what is logged.
type publishing struct{ remote *remote }

func (p publishing) Write(line []byte) (int, error) {
	p.remote.Publish([]broker.Message{text("logs", string(line))})
	return len(line), nil
}

// TestLogOfAFullQueue publishes the log line about a full queue to the same queue.
func TestLogOfAFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fakeBroker{}
		r := newTestRemote(t, b)
		r.Logger = slog.New(slog.NewTextHandler(publishing{r}, nil))
		r.queue.limit = 4 << 10
		b.down.Store(true)
		for range 10 {
			r.Publish([]broker.Message{text("g", strings.Repeat("x", 1<<10))})
		}
		synctest.Wait()
		b.down.Store(false)
		time.Sleep(5 * time.Second)
		require.NoError(t, r.Flush(t.Context()))
		assert.Contains(t, b.texts(), `g "overflow"`)
		assert.Contains(t, strings.Join(b.texts(), ""), "the publish queue is full")
	})
}

// TestOverflowOfManyGroups resyncs all groups by one order.
func TestOverflowOfManyGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fakeBroker{}
		r := newTestRemote(t, b)
		groups := map[string]bool{}
		for n := range maxOverflowed + 1 {
			groups[fmt.Sprint("g-", n)] = true
		}
		r.queue.addResyncs(groups)
		require.NoError(t, r.Flush(t.Context()))
		assert.Equal(t, []string{`!orders {"kind":"resync","pattern":"{any}","object":"overflow","from":"` + r.source + `","at":946684800}`}, b.texts())
	})
}

// TestManyBatchesACall publishes while a call is under way: what has gathered leaves in
// few calls, each commit as a batch of its own.
func TestManyBatchesACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fakeBroker{limits: broker.Limits{BatchMessages: 3}}
		r := newTestRemote(t, b)
		b.down.Store(true)
		r.Publish([]broker.Message{text("g", "0")})
		synctest.Wait()
		b.down.Store(false)
		for n := range 1000 {
			r.Publish([]broker.Message{text("g", fmt.Sprint(n+1)), text("h", fmt.Sprint(n+1))})
		}
		r.Publish([]broker.Message{text("g", "a"), text("g", "b"), text("g", "c"), text("g", "d")})
		require.NoError(t, r.Flush(t.Context()))
		assert.LessOrEqual(t, b.calls, 2+1+1002*2/maxCallMessages+1)
		require.Len(t, b.batches, 1+1000+2)
		for i, batch := range b.batches {
			assert.EqualValues(t, i+1, batch.Number)
			assert.Equal(t, r.source, batch.Source)
			if i > 0 && i <= 1000 {
				assert.Len(t, batch.Messages, 2, "a commit")
			}
		}
		assert.Len(t, b.batches[1001].Messages, 3, "larger ones are divided")
	})
}

// TestRefusedBatches gives resyncs to the groups of a batch that the broker refuses, and
// goes on.
func TestRefusedBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var full atomic.Bool
		full.Store(true)
		b := &fakeBroker{}
		b.refuse = func(batch broker.Batch) bool {
			for _, m := range batch.Messages {
				if strings.Contains(string(m.Payload), "poison") || full.Load() && m.Stream == "full" {
					return true
				}
			}
			return false
		}
		r := newTestRemote(t, b)
		b.down.Store(true)
		r.Publish([]broker.Message{text("a", "1")})
		synctest.Wait()
		r.Publish([]broker.Message{text("a", "2"), text("b", "poison"), text("a", "3")})
		r.Publish([]broker.Message{text("a", "4")})
		r.Publish([]broker.Message{text("full", "5")})
		r.Publish([]broker.Message{text("a", "6")})
		b.down.Store(false)
		require.NoError(t, r.Flush(t.Context()))
		assert.Equal(t, []string{"a 1", `a "overflow"`, `b "overflow"`, "a 4", "a 6"}, b.texts())
		assert.EqualValues(t, 4, r.Lost.Load())
		time.Sleep(refusedPause + time.Second)
		full.Store(false)
		time.Sleep(refusedPause + time.Second)
		assert.Equal(t, `full "overflow"`, b.texts()[5], "the resync that was refused, too")
		r.Publish([]broker.Message{text("a", "7")})
		require.NoError(t, r.Flush(t.Context()))
		assert.Equal(t, "a 7", b.texts()[6])
	})
}

// What takes the place of a refused batch is one batch with its number: a source such as an
// outbox has no other, and would publish the batch again.
func TestRefusedBatchKeepsItsNumber(t *testing.T) {
	const order = orderStream + ` {"kind":"resync","pattern":"{any}","object":"overflow","from":"hub","at":946684800}`
	for name, c := range map[string]struct{ groups, want []string }{
		"as many groups as a batch has messages": {[]string{"a", "b", "c", "c"}, []string{`a "overflow"`, `b "overflow"`, `c "overflow"`}},
		"more groups":                            {[]string{"a", "b", "c", "d"}, []string{order}},
		"an order":                               {[]string{"a", orderStream, "b", "b"}, []string{order}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &fakeBroker{limits: broker.Limits{BatchMessages: 3}}
				b.refuse = func(batch broker.Batch) bool { return len(batch.Messages) > 3 }
				r := newTestRemote(t, b)
				r.source = "hub"
				batch := broker.Batch{Source: "outbox", Number: 7}
				for _, group := range c.groups {
					batch.Messages = append(batch.Messages, text(group, "1"))
				}
				require.NoError(t, r.Take(t.Context(), []broker.Batch{batch}))
				assert.Equal(t, c.want, b.texts())
				assert.EqualValues(t, 7, b.taken)
			})
		})
	}
}

// The log says what to do, where something is to be done.
func TestRefusalsNameTheRemedy(t *testing.T) {
	assert.Contains(t, refusal(&broker.RefusedError{Err: errors.New("too large")}), "look whether messages are too large, or the engine is full")
	assert.NotContains(t, refusal(&broker.RefusedError{Err: broker.ErrTried}), "look whether")
}

// TestTriedBatches puts resyncs in place of batches that may have been delivered before the
// engine has lost messages. Orders and resyncs may come twice.
func TestTriedBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fakeBroker{}
		var ended time.Time
		b.refuse = func(batch broker.Batch) bool {
			refused := !batch.Tried.IsZero() && batch.Tried.Before(ended)
			if refused {
				b.down.Store(true) // the resync in its place is tried, too
			}
			return refused
		}
		r := newTestRemote(t, b)
		publish := func(messages ...broker.Message) {
			b.down.Store(true)
			r.Publish(messages)
			synctest.Wait()
		}
		flush := func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			require.NoError(t, r.Flush(ctx))
		}
		publish(text("a", "1"), text("b", "1"))
		r.Publish([]broker.Message{text("a", "2")})
		b.down.Store(false)
		flush()
		assert.Equal(t, []string{"a 1", "b 1", "a 2"}, b.texts(), "nothing was lost meanwhile")

		publish(text("a", "3"), text("b", "3"))
		r.Publish([]broker.Message{text("a", "4")})
		time.Sleep(time.Minute)
		ended = time.Now()
		b.down.Store(false)
		time.Sleep(time.Minute)
		ended = time.Now()
		b.down.Store(false)
		flush()
		assert.Equal(t, []string{`a "overflow"`, `b "overflow"`, "a 4"}, b.texts()[3:])

		publish(text(orderStream, "5"))
		time.Sleep(time.Minute)
		ended = time.Now()
		b.down.Store(false)
		flush()
		assert.Equal(t, []string{orderStream + " 5"}, b.texts()[6:])
		assert.EqualValues(t, 2, r.Lost.Load())
	})
}

// TestLargeMessages publishes a resync in place of a message that the broker would not
// take.
func TestLargeMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fakeBroker{limits: broker.Limits{PayloadBytes: 20}}
		r := newTestRemote(t, b)
		r.Publish([]broker.Message{text("a", strings.Repeat("x", 19)), text("b", strings.Repeat("x", 20))})
		require.NoError(t, r.Flush(t.Context()))
		assert.Equal(t, []string{"a " + strings.Repeat("x", 19), `b "overflow"`}, b.texts())
	})
}
