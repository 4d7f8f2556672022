package brokertest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rohrpost/rohrpost/broker"
)

var numberClauses = []clause{
	{"a batch whose number is not greater than the last one is dropped", takenOnce},
	{"the numbers of a source may skip", numbersSkip},
	{"each source has its own numbers", sourcesAreSeparate},
	{"Taken returns the number of the last batch", takenIsTheLast},
	{"a refused batch is named, and nothing after it is taken", refused},
	{"a batch that was tried in an epoch that has ended is refused", tried},
}

func numbered(source string, number uint64, payload string) broker.Batch {
	return broker.Batch{Source: source, Number: number, Messages: []broker.Message{text("s", payload), text("s", payload+"'")}}
}

func takenOnce(t *testing.T, c Config) {
	l := listen(t, c)
	begin := l.follow("s")
	l.publishBatches(numbered("a", 1, "1"), numbered("a", 2, "2"))
	l.publishBatches(numbered("a", 1, "again"), numbered("a", 2, "again"), numbered("a", 3, "3"))
	l.publishBatches(numbered("a", 3, "again"))
	l.publishBatches(numbered("a", 4, "4"), numbered("a", 4, "again"), numbered("a", 2, "again"), numbered("a", 5, "5"))
	got := flatten(l.awaitPayload("5'"))
	assert.Equal(t, []string{"1", "1'", "2", "2'", "3", "3'", "4", "4'", "5", "5'"}, texts(got))
	assertChain(t, begin, got)
	assert.Equal(t, texts(got), texts(l.read("s", 0, 100).Messages))
}

func numbersSkip(t *testing.T, c Config) {
	l := listen(t, c)
	l.follow("s")
	const large = 1 << 62
	l.publishBatches(numbered("a", 7, "7"), numbered("a", 6, "6"), numbered("a", 1000, "1000"))
	l.publishBatches(numbered("a", 999, "999"), numbered("a", large, "large"))
	l.publishBatches(numbered("a", large-1, "not larger"), numbered("a", large+1, "end"))
	assert.Equal(t, []string{"7", "7'", "1000", "1000'", "large", "large'", "end", "end'"}, texts(flatten(l.awaitPayload("end'"))))
	assert.EqualValues(t, uint64(large)+1, l.taken("a"))
}

func sourcesAreSeparate(t *testing.T, c Config) {
	l := listen(t, c)
	l.follow("s")
	l.publishBatches(numbered("a", 5, "a5"), numbered("A", 1, "A1"), numbered("a ", 2, "a_2"))
	l.publishBatches(numbered("A", 1, "again"), numbered("b", 1, "b1"), numbered("a", 5, "again"), numbered("A", 2, "A2"))
	assert.Equal(t, []string{"a5", "a5'", "A1", "A1'", "a_2", "a_2'", "b1", "b1'", "A2", "A2'"}, texts(flatten(l.awaitPayload("A2'"))))
	assert.Equal(t, []uint64{5, 2, 2, 1, 0}, []uint64{l.taken("a"), l.taken("A"), l.taken("a "), l.taken("b"), l.taken("c")})
}

func takenIsTheLast(t *testing.T, c Config) {
	l := listen(t, c)
	assert.Zero(t, l.taken("a"), "a source that the broker does not know")
	l.publishBatches(numbered("a", 3, "nobody follows the stream"))
	assert.EqualValues(t, 3, l.taken("a"))
	l.publishBatches(numbered("a", 2, "old"))
	assert.EqualValues(t, 3, l.taken("a"))
	l.publishBatches(broker.Batch{Source: "a", Number: 4})
	assert.EqualValues(t, 4, l.taken("a"), "also of a batch without messages")
}

// poison returns messages that the broker refuses. It skips the test if there are none.
func (l *listener) poison(c Config) []broker.Message {
	l.t.Helper()
	if c.Poison != nil {
		return c.Poison(l.t, l.given)
	}
	limit := l.broker.limits().PayloadBytes
	if limit <= 0 {
		l.t.Skip("Config.Poison is nil, and the broker has no limit")
	}
	return []broker.Message{text("s", "before"), {Stream: "s", Payload: make([]byte, limit+1)}}
}

func refused(t *testing.T, c Config) {
	l := listen(t, c)
	begin := l.follow("s")
	poison := l.poison(c)
	err := l.broker.Publish(t.Context(), []broker.Batch{
		numbered("a", 1, "1"), {Source: "a", Number: 2, Messages: poison}, numbered("a", 3, "3"),
	})
	var named *broker.RefusedError
	require.ErrorIs(t, err, broker.ErrRefused)
	require.True(t, errors.As(err, &named), "the error is a *RefusedError")
	assert.Equal(t, "a", named.Source)
	assert.EqualValues(t, 2, named.Number)
	require.Error(t, named.Err, "it says why")
	assert.EqualValues(t, 1, l.taken("a"))
	l.publishBatches(numbered("a", 2, "in its place"), numbered("a", 3, "3"))
	got := flatten(l.awaitPayload("3'"))
	assert.Equal(t, []string{"1", "1'", "in its place", "in its place'", "3", "3'"}, texts(got), "nothing of the refused batch was taken")
	assertChain(t, begin, got)
}

// tried repeats a batch that was delivered before the engine has gone back.
func tried(t *testing.T, c Config) {
	if c.Restore == nil || c.TakesTried {
		t.Skip("Config.Restore is nil, or Config.TakesTried is set")
	}
	l := listen(t, c)
	l.follow("s")
	l.publishBatches(numbered("a", 1, "1"))
	again, later := numbered("a", 2, "2"), numbered("a", 3, "3")
	c.Restore(t, l.given, func() {
		l.publishBatches(numbered("b", 1, "so that the Broker knows the epoch"))
		again.Tried = time.Now()
		l.publishBatches(again)
	})
	_ = l.stop() // whatever the restore has made of it
	l.follow("s")
	err := l.broker.Publish(t.Context(), []broker.Batch{again, later})
	var named *broker.RefusedError
	require.ErrorIs(t, err, broker.ErrTried)
	require.True(t, errors.As(err, &named), "the error is a *RefusedError")
	assert.EqualValues(t, 2, named.Number)
	l.run()
	again.Messages, again.Tried, later.Tried = numbered("a", 2, "in its place").Messages, time.Time{}, time.Now()
	l.publishBatches(again, later)
	assert.Equal(t, []string{"in its place", "in its place'", "3", "3'"}, lastTexts(l.awaitPayload("3'"), 4), "a later one may be tried again")
}

func lastTexts(batches [][]broker.Message, count int) []string {
	all := texts(flatten(batches))
	return all[max(0, len(all)-count):]
}

// publishBeside publishes the same numbered batches from several goroutines, as relays of
// an outbox do.
func publishBeside(t *testing.T, count int, brokers ...guard) {
	t.Helper()
	var relays sync.WaitGroup
	for i, b := range brokers {
		relays.Go(func() {
			for n := 1; n <= count; {
				var batches []broker.Batch
				for range 1 + (n+i)%4 {
					batches = append(batches, numbered("relay", uint64(n), fmt.Sprint(n)))
					n++
				}
				assert.NoError(t, b.Publish(t.Context(), batches))
			}
		})
	}
	relays.Wait()
}
