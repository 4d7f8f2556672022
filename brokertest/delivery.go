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
	{"Run calls ready before it delivers what is published", readyMeansListening},
	{"the hub may call Run again", runAgain},
	{"the followed streams are a set", followIsASet},
	{"messages published after Unfollow are not delivered", unfollowed},
	{"delivery begins right after the position that Follow returns", beginsAfterPosition},
	{"Run delivers one batch at a time", oneBatchAtATime},
	{"a delivered message does not change", deliveredIsStable},
	{"all methods may be called concurrently", concurrentUse},
}

func runReturns(t *testing.T, c Config) {
	l := listen(t, c)
	l.follow("s")
	l.publish(text("s", "a"))
	l.await(1)
	err := l.stop()
	require.Error(t, err)
	assert.ErrorIs(t, err, context.Canceled, "the context of Run was canceled")
	l.publish(text("s", "b"))
	assert.Equal(t, []string{"a"}, texts(flatten(l.delivered())), "Run has returned")
}

func readyMeansListening(t *testing.T, c Config) {
	l := listen(t, c)
	l.follow("s")
	for i := range 5 {
		_ = l.stop()
		l.run()
		l.publish(text("s", fmt.Sprint(i)))
		l.awaitPayload(fmt.Sprint(i))
	}
}

func runAgain(t *testing.T, c Config) {
	l := listen(t, c)
	begin := l.follow("s")
	for i := range 3 {
		l.publish(text("s", fmt.Sprint("during ", i)))
		l.awaitPayload(fmt.Sprint("during ", i))
		_ = l.stop()
		l.publish(text("s", fmt.Sprint("between ", i)))
		l.run()
	}
	l.publish(text("s", "end"))
	// The broker may deliver the messages between two calls of Run late, but in order.
	last := begin.Offset
	for _, m := range flatten(l.awaitPayload("end")) {
		assert.Greater(t, m.Offset, last, "in order and once: %q", m.Payload)
		last = m.Offset
	}
	kept := l.read("s", begin.Offset, 100).Messages
	assertChain(t, begin, kept)
	assert.Equal(t, []string{"during 0", "between 0", "during 1", "between 1", "during 2", "between 2", "end"}, texts(kept))
}

func followIsASet(t *testing.T, c Config) {
	l := listen(t, c)
	first := l.follow("s")
	l.publish(text("s", "1"))
	l.await(1)
	second := l.follow("s")
	assert.Equal(t, first.Epoch, second.Epoch)
	assert.Greater(t, second.Offset, first.Offset)
	l.publish(text("s", "2"))
	assert.Equal(t, []string{"1", "2"}, texts(flatten(l.await(2))), "each once")
	l.unfollow("s", "never followed")
	assert.Equal(t, first.Epoch, l.position("s").Epoch, "the stream goes on for some time")
	if c.DeliversUnfollowed {
		return
	}
	l.follow("end")
	l.publish(text("s", "one Unfollow ends it"), text("end", "end"))
	assert.Equal(t, []string{"1", "2", "end"}, texts(flatten(l.awaitPayload("end"))))
}

func unfollowed(t *testing.T, c Config) {
	if c.DeliversUnfollowed {
		t.Skip("Config.DeliversUnfollowed is set")
	}
	l := listen(t, c)
	l.follow("other")
	l.follow("s")
	l.publish(text("s", "1"), text("other", "2"))
	l.await(2)
	l.unfollow("s")
	l.publish(text("s", "unfollowed"), text("other", "3"))
	l.publish(text("other", "end"))
	assert.Equal(t, []string{"1", "2", "3", "end"}, texts(flatten(l.awaitPayload("end"))))
	l.follow("s")
	l.publish(text("s", "again"))
	l.awaitPayload("again")
}

// beginsAfterPosition follows and unfollows while another source publishes.
func beginsAfterPosition(t *testing.T, c Config) {
	l := listen(t, c)
	l.follow("s")
	l.unfollow("s")
	var stop atomic.Bool
	var publisher sync.WaitGroup
	publisher.Go(func() {
		for n := uint64(1); !stop.Load(); n++ {
			batch := broker.Batch{Source: "beside", Number: n, Messages: []broker.Message{text("s", "x"), text("s", "y")}}
			if !assert.NoError(t, l.broker.Publish(t.Context(), []broker.Batch{batch})) {
				return
			}
			time.Sleep(100 * time.Microsecond)
		}
	})
	defer publisher.Wait()
	defer stop.Store(true)
	for range 30 {
		seen := len(flatten(l.delivered()))
		begin := l.follow("s")
		after := func(all []broker.Message) []broker.Message {
			all = all[seen:]
			for len(all) > 0 && (all[0].Epoch != begin.Epoch || all[0].Offset <= begin.Offset) {
				all = all[1:] // published before Follow returned
			}
			return all
		}
		got := after(flatten(l.awaitUntil("messages after Follow", func(all []broker.Message) bool { return len(after(all)) >= 4 })))
		if !assertChain(t, begin, got) {
			return
		}
		l.unfollow("s")
	}
}

func oneBatchAtATime(t *testing.T, c Config) {
	const publishers, each = 8, 100
	l := listen(t, c)
	var all sync.WaitGroup
	for p := range publishers {
		stream := fmt.Sprint("s", p)
		l.follow(stream)
		all.Go(func() {
			for i := range uint64(each) {
				batch := broker.Batch{Source: stream, Number: i + 1, Messages: []broker.Message{text(stream, "x")}}
				assert.NoError(t, l.broker.Publish(t.Context(), []broker.Batch{batch}))
			}
		})
	}
	all.Wait()
	l.await(publishers * each) // the listener reports concurrent calls
}

func deliveredIsStable(t *testing.T, c Config) {
	l := listen(t, c)
	l.follow("s")
	for i := range 100 {
		l.publish(text("s", fmt.Sprintf("%0100d", i)))
	}
	for i, got := range texts(flatten(l.await(100))) {
		assert.Equal(t, fmt.Sprintf("%0100d", i), got)
	}
}

func concurrentUse(t *testing.T, c Config) {
	const workers, rounds = 8, 40
	l := listen(t, c)
	begin := l.follow("s")
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() { useBroker(t, l.broker, w, rounds) })
	}
	all.Wait()
	l.publish(text("s", "end"))
	got := inStream("s", flatten(l.awaitPayload("end")))
	assert.Len(t, texts(got), workers*rounds/4+1)
	assertChain(t, begin, got)
}

// useBroker calls all methods in turn.
func useBroker(t *testing.T, b guard, worker, rounds int) {
	ctx, own, source := t.Context(), fmt.Sprint("of worker ", worker), fmt.Sprint("worker ", worker)
	for i := range rounds {
		_, err := b.Follow(ctx, []string{own, "shared"})
		assert.NoError(t, err)
		batches := []broker.Batch{{Source: source, Number: uint64(2*i + 1), Messages: []broker.Message{text(own, "x"), text("shared", "x")}}}
		if i%4 == 0 {
			marked := []broker.Message{text("s", fmt.Sprint(worker, " ", i))}
			batches = append(batches, broker.Batch{Source: source, Number: uint64(2*i + 2), Messages: marked})
		}
		assert.NoError(t, b.Publish(ctx, batches))
		_, err = b.Read(ctx, "shared", 0, 10)
		assert.NoError(t, err)
		_, err = b.Positions(ctx, []string{own, "shared", "s"})
		assert.NoError(t, err)
		_, err = b.Taken(ctx, source)
		assert.NoError(t, err)
		assert.NoError(t, b.Unfollow(ctx, []string{own}))
	}
}
