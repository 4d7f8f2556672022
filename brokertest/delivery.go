package brokertest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rohrpost/rohrpost/broker"
)

var deliveryClauses = []clause{
	{"Run returns the error of its context", runReturns},
	{"the hub may call Run again", runAgain},
	{"the broker counts the calls of Subscribe", subscribeIsCounted},
	{"messages published after Unsubscribe are not delivered", unsubscribed},
	{"delivery begins right after the position that Subscribe returns", beginsAfterPosition},
	{"Run delivers one batch at a time", oneBatchAtATime},
	{"a delivered message does not change", deliveredIsStable},
	{"all methods may be called concurrently", concurrentUse},
}

func runReturns(t *testing.T, c Config) {
	l := listen(t, c)
	l.subscribe("s")
	l.publish(text("s", "a"))
	l.await(1)
	err := l.stop()
	require.Error(t, err)
	assert.ErrorIs(t, err, context.Canceled, "the context of Run was canceled")
	l.publish(text("s", "b"))
	assert.Len(t, l.delivered(), 1, "Run has returned")
}

func runAgain(t *testing.T, c Config) {
	l := listen(t, c)
	l.subscribe("s")
	for i := range 3 {
		l.publish(text("s", fmt.Sprint("during ", i)))
		l.awaitPayload(fmt.Sprint("during ", i))
		_ = l.stop()
		l.publish(text("s", fmt.Sprint("between ", i)))
		l.run()
	}
	l.publish(text("s", "end"))
	got := flatten(l.awaitPayload("end"))
	if !l.hasPositions {
		return
	}
	// The broker may deliver the messages between two calls of Run late, but in order.
	last := uint64(0)
	for _, m := range got {
		assert.Greater(t, m.Offset, last, "in order and once: %v", payloads(got))
		last = m.Offset
	}
	assert.Equal(t, []string{
		"during 0", "between 0", "during 1", "between 1", "during 2", "between 2", "end",
	}, payloads(l.history("s", 0, 10).Messages))
}

func subscribeIsCounted(t *testing.T, c Config) {
	l := listen(t, c)
	first := l.subscribe("s")
	l.publish(text("s", "1"))
	l.await(1)
	second := l.subscribe("s")
	if l.hasPositions {
		assert.Equal(t, first.Epoch, second.Epoch)
		assert.EqualValues(t, 1, second.Offset)
	}
	l.publish(text("s", "2"))
	l.unsubscribe("s")
	l.publish(text("s", "3"))
	assert.Equal(t, []string{"1", "2", "3"}, payloads(flatten(l.await(3))), "each once, because one subscription is left")
	if l.hasPositions {
		assert.Equal(t, first.Epoch, l.position("s").Epoch)
	}
}

func unsubscribed(t *testing.T, c Config) {
	if c.DeliversUnsubscribed {
		t.Skip("Config.DeliversUnsubscribed is set")
	}
	l := listen(t, c)
	l.subscribe("other")
	l.subscribe("s")
	l.subscribe("s")
	l.publish(text("s", "1"), text("other", "2"))
	l.await(2)
	l.unsubscribe("s")
	l.unsubscribe("s")
	l.publish(text("s", "unsubscribed"), text("other", "3"))
	l.publish(text("other", "end"))
	assert.Equal(t, []string{"1", "2", "3", "end"}, payloads(flatten(l.awaitPayload("end"))))
	l.subscribe("s")
	l.publish(text("s", "again"))
	assert.Equal(t, []string{"1", "2", "3", "end", "again"}, payloads(flatten(l.awaitPayload("again"))))
}

func beginsAfterPosition(t *testing.T, c Config) {
	l := listenWithPositions(t, c)
	l.subscribe("s")
	l.unsubscribe("s")
	var stop atomic.Bool
	var publisher sync.WaitGroup
	publisher.Go(func() {
		for !stop.Load() && assert.NoError(t, l.broker.Publish(t.Context(), []broker.Message{text("s", "x"), text("s", "y")})) {
			time.Sleep(100 * time.Microsecond)
		}
	})
	defer publisher.Wait()
	defer stop.Store(true)
	seen := 0
	for range 30 {
		before, err := l.broker.Positions(t.Context(), []string{"s"})
		require.NoError(t, err)
		begin := l.subscribe("s")
		for n := 4; ; n++ {
			got := flatten(l.await(seen + n))[seen:]
			for len(got) > 0 && (got[0].Epoch != begin.Epoch || begin.Epoch == before[0].Epoch && got[0].Offset <= before[0].Offset) {
				got = got[1:] // published before the last Unsubscribe
			}
			if len(got) < 4 {
				continue
			}
			if !assert.Equal(t, sequence(begin.Offset+1, len(got)), offsets(got)) {
				return
			}
			seen += n
			break
		}
		l.unsubscribe("s")
	}
}

func oneBatchAtATime(t *testing.T, c Config) {
	const publishers, each = 8, 100
	l := listen(t, c)
	var all sync.WaitGroup
	for p := range publishers {
		stream := fmt.Sprint("s", p)
		l.subscribe(stream)
		all.Go(func() {
			for range each {
				assert.NoError(t, l.broker.Publish(t.Context(), []broker.Message{text(stream, "x")}))
			}
		})
	}
	all.Wait()
	l.await(publishers * each) // the listener reports concurrent calls
}

func deliveredIsStable(t *testing.T, c Config) {
	l := listen(t, c)
	l.subscribe("s")
	for i := range 100 {
		l.publish(text("s", fmt.Sprintf("%0100d", i)))
	}
	for i, m := range flatten(l.await(100)) {
		assert.Equal(t, fmt.Sprintf("%0100d", i), string(m.Payload))
	}
}

func concurrentUse(t *testing.T, c Config) {
	const workers, rounds = 8, 40
	l := listen(t, c)
	l.subscribe("s")
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			ctx, stream := t.Context(), fmt.Sprint("of worker ", w)
			for i := range rounds {
				_, err := l.broker.Subscribe(ctx, stream)
				assert.NoError(t, err)
				_, err = l.broker.Subscribe(ctx, "shared")
				assert.NoError(t, err)
				if i%4 == 0 {
					assert.NoError(t, l.broker.Publish(ctx, []broker.Message{text("s", fmt.Sprint(w, " ", i))}))
				}
				batch := []broker.Message{text(stream, "x"), text("shared", "x"), {Stream: stream, Plain: true}}
				assert.NoError(t, l.broker.Publish(ctx, batch))
				_, err = l.broker.History(ctx, "shared", 0, 10)
				assert.NoError(t, err)
				_, err = l.broker.Positions(ctx, []string{stream, "shared", "s"})
				assert.NoError(t, err)
				assert.NoError(t, l.broker.Unsubscribe(ctx, "shared"))
				assert.NoError(t, l.broker.Unsubscribe(ctx, stream))
			}
		})
	}
	all.Wait()
	l.publish(text("s", "end"))
	got := inStream("s", flatten(l.awaitPayload("end")))
	assert.Len(t, got, workers*rounds/4+1)
	if l.hasPositions {
		assert.Equal(t, sequence(1, len(got)), offsets(got))
	}
}
