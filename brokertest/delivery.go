package brokertest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var deliveryClauses = []clause{
	{"Run ends with its context and says so", runEnds},
	{"Run may be called again", runAgain},
	{"Subscribe is counted", subscribeIsCounted},
	{"what is published after Unsubscribe is not delivered", unsubscribed},
	{"delivery begins right after the position that Subscribe returns", beginsAfterPosition},
	{"deliver is called with one batch at a time", oneAtATime},
	{"what was delivered does not change", deliveredStays},
	{"all methods may be called concurrently", concurrentUse},
}

func runEnds(t *testing.T, c Config) {
	l := listen(t, c)
	l.subscribe("s")
	l.publish(text("s", "a"))
	l.await(1)
	err := l.stop()
	require.Error(t, err)
	assert.True(t, errors.Is(err, context.Canceled), "Run ended because of its context, and returned: %v", err)
	l.publish(text("s", "b"))
	assert.Len(t, l.got(), 1, "Run has ended")
}

func runAgain(t *testing.T, c Config) {
	l := listen(t, c)
	l.subscribe("s")
	for i := range 3 {
		l.publish(text("s", fmt.Sprint("during ", i)))
		l.awaitLast(fmt.Sprint("during ", i))
		_ = l.stop()
		l.publish(text("s", fmt.Sprint("between ", i)))
		l.run()
	}
	l.publish(text("s", "end"))
	got := flat(l.awaitLast("end"))
	if !l.keeps {
		return
	}
	// What was published while nobody ran it may be delivered, but only in its place.
	last := uint64(0)
	for _, m := range got {
		assert.Greater(t, m.Offset, last, "in order and once: %v", payloads(got))
		last = m.Offset
	}
	_, _, kept := l.history("s", 0, 10)
	assert.Equal(t, []string{
		"during 0", "between 0", "during 1", "between 1", "during 2", "between 2", "end",
	}, payloads(kept))
}

func subscribeIsCounted(t *testing.T, c Config) {
	l := listen(t, c)
	epoch, _ := l.subscribe("s")
	l.publish(text("s", "1"))
	l.await(1)
	again, offset := l.subscribe("s")
	if l.keeps {
		assert.Equal(t, epoch, again)
		assert.EqualValues(t, 1, offset)
	}
	l.publish(text("s", "2"))
	l.unsubscribe("s")
	l.publish(text("s", "3"))
	assert.Equal(t, []string{"1", "2", "3"}, payloads(flat(l.await(3))), "once each, and still subscribed")
	if l.keeps {
		now, _ := l.position("s")
		assert.Equal(t, epoch, now)
	}
}

func unsubscribed(t *testing.T, c Config) {
	if c.DeliversMore {
		t.Skip("Config.DeliversMore is set")
	}
	l := listen(t, c)
	l.subscribe("here")
	l.subscribe("s")
	l.subscribe("s")
	l.publish(text("s", "1"), text("here", "2"))
	l.await(2)
	l.unsubscribe("s")
	l.unsubscribe("s")
	l.publish(text("s", "nobody's"), text("here", "3"))
	l.publish(text("here", "end"))
	assert.Equal(t, []string{"1", "2", "3", "end"}, payloads(flat(l.awaitLast("end"))))
	l.subscribe("s")
	l.publish(text("s", "back"))
	assert.Equal(t, []string{"1", "2", "3", "end", "back"}, payloads(flat(l.awaitLast("back"))))
}

func beginsAfterPosition(t *testing.T, c Config) {
	l := listenKeeping(t, c)
	l.subscribe("s")
	l.unsubscribe("s")
	var stop atomic.Bool
	var publisher sync.WaitGroup
	publisher.Go(func() {
		for !stop.Load() && assert.NoError(t, l.broker.Publish(t.Context(), []Message{text("s", "x"), text("s", "y")})) {
			time.Sleep(100 * time.Microsecond)
		}
	})
	defer publisher.Wait()
	defer stop.Store(true)
	seen := 0
	for range 30 {
		epochs, left, err := l.broker.Positions(t.Context(), []string{"s"})
		require.NoError(t, err)
		epoch, offset := l.subscribe("s")
		for n := 4; ; n++ {
			got := flat(l.await(seen + n))[seen:]
			for len(got) > 0 && (got[0].Epoch != epoch || epoch == epochs[0] && got[0].Offset <= left[0]) {
				got = got[1:] // published before the last Unsubscribe
			}
			if len(got) < 4 {
				continue
			}
			if !assert.Equal(t, count(offset+1, len(got)), offsets(got)) {
				return
			}
			seen += n
			break
		}
		l.unsubscribe("s")
	}
}

func oneAtATime(t *testing.T, c Config) {
	const publishers, each = 8, 100
	l := listen(t, c)
	var all sync.WaitGroup
	for p := range publishers {
		stream := fmt.Sprint("s", p)
		l.subscribe(stream)
		all.Go(func() {
			for range each {
				assert.NoError(t, l.broker.Publish(t.Context(), []Message{text(stream, "x")}))
			}
		})
	}
	all.Wait()
	l.await(publishers * each) // deliver has looked
}

func deliveredStays(t *testing.T, c Config) {
	l := listen(t, c)
	l.subscribe("s")
	for i := range 100 {
		l.publish(text("s", fmt.Sprintf("%0100d", i)))
	}
	for i, m := range flat(l.await(100)) {
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
			ctx, own := t.Context(), fmt.Sprint("own ", w)
			for i := range rounds {
				_, _, err := l.broker.Subscribe(ctx, own)
				assert.NoError(t, err)
				_, _, err = l.broker.Subscribe(ctx, "shared")
				assert.NoError(t, err)
				if i%4 == 0 {
					assert.NoError(t, l.broker.Publish(ctx, []Message{text("s", fmt.Sprint(w, " ", i))}))
				}
				assert.NoError(t, l.broker.Publish(ctx, []Message{text(own, "x"), text("shared", "x"), {Stream: own, Plain: true}}))
				_, _, _, err = l.broker.History(ctx, "shared", 0, 10)
				assert.NoError(t, err)
				_, _, err = l.broker.Positions(ctx, []string{own, "shared", "s"})
				assert.NoError(t, err)
				assert.NoError(t, l.broker.Unsubscribe(ctx, "shared"))
				assert.NoError(t, l.broker.Unsubscribe(ctx, own))
			}
		})
	}
	all.Wait()
	l.publish(text("s", "end"))
	got := of("s", flat(l.awaitLast("end")))
	assert.Len(t, got, workers*rounds/4+1)
	if l.keeps {
		assert.Equal(t, count(1, len(got)), offsets(got))
	}
}
