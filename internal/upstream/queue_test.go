package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
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

// fakeBroker takes messages, or fails.
type fakeBroker struct {
	broker.Broker
	down atomic.Bool

	mu        sync.Mutex
	published []broker.Message
}

func (b *fakeBroker) Run(ctx context.Context, _ func([]broker.Message)) error {
	<-ctx.Done()
	return ctx.Err()
}

func (b *fakeBroker) Subscribe(context.Context, string) (broker.Position, error) {
	return broker.Position{}, nil
}

func (b *fakeBroker) Publish(_ context.Context, batch []broker.Message) error {
	if b.down.Load() {
		return errors.New("down")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.published = append(b.published, batch...)
	return nil
}

type fakeReceiver struct{ Receiver }

func (fakeReceiver) Resync(group string, object json.RawMessage) (broker.Message, error) {
	return broker.Message{Stream: group, Payload: object}, nil
}

func newTestRemote(t *testing.T) (*remote, *fakeBroker) {
	group := tasks.New()
	b := &fakeBroker{}
	r := New(Config{
		Broker: b, Receiver: fakeReceiver{}, Logger: slog.New(slog.DiscardHandler), Tasks: group,
		Skipped: new(atomic.Uint64), AnyGroup: "{any}", Overflow: json.RawMessage(`"overflow"`),
	}).(*remote)
	t.Cleanup(func() { require.NoError(t, group.End(context.Background())) })
	return r, b
}

// TestQueueIsBounded publishes more than the queue holds while the broker is down: the
// group gets one resync in place of the dropped messages.
func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, b := newTestRemote(t)
		b.down.Store(true)
		r.queue.limit = 100 << 10
		require.NoError(t, r.Publish([]broker.Message{{Stream: "g", Payload: []byte("first")}}))
		synctest.Wait() // the queue is calling the broker
		for range 1000 {
			require.NoError(t, r.Publish([]broker.Message{{Stream: "g", Payload: make([]byte, 1<<10)}}))
		}
		r.queue.mu.Lock()
		assert.LessOrEqual(t, r.queue.bytes, 100<<10)
		assert.LessOrEqual(t, len(r.queue.waiting), 101)
		r.queue.mu.Unlock()
		b.down.Store(false)
		time.Sleep(5 * time.Second) // the queue retries
		require.NoError(t, r.Publish([]broker.Message{{Stream: "g", Payload: []byte("last")}}))
		r.Flush(t.Context())
		resyncs := 0
		for _, m := range b.published {
			if string(m.Payload) == `"overflow"` {
				resyncs++
			}
		}
		assert.Equal(t, 1, resyncs)
		assert.Equal(t, "first", string(b.published[0].Payload))
		assert.Equal(t, "last", string(b.published[len(b.published)-1].Payload))
	})
}

// TestOverflowOfManyGroups resyncs all groups by one control message, each time by
// another one: a broker takes a message with the same ID once.
func TestOverflowOfManyGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, b := newTestRemote(t)
		groups := map[string]bool{}
		for n := range maxOverflowed + 1 {
			groups[fmt.Sprint("g-", n)] = true
		}
		for range 2 {
			require.NoError(t, r.queue.call(t.Context(), &brokerCall{overflowed: groups}))
		}
		require.Len(t, b.published, 2)
		for _, m := range b.published {
			assert.Equal(t, controlStream, m.Stream)
			assert.JSONEq(t, `{"resync":"{any}","object":"overflow"}`, string(m.Payload))
		}
		assert.NotEqual(t, b.published[0].ID, b.published[1].ID)
	})
}
