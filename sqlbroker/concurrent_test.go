package sqlbroker_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/sqlbroker"
)

// TestAllAtOnce lets hubs publish to the same streams, follow them, and let them go on. No
// call may fail: the database must not have to end one of two that wait for each other.
func TestAllAtOnce(t *testing.T) {
	for _, e := range engines() {
		t.Run(e.name, func(t *testing.T) { allAtOnce(t, e, e) })
	}
}

// allAtOnce makes 50 calls of each kind in each of two hubs, which connect as others do.
func allAtOnce(t *testing.T, e, others engine) {
	o := open(t, e, sqlbroker.Config{})
	var streams []string
	for i := range 40 {
		streams = append(streams, fmt.Sprint("g", i))
	}
	before, err := o.Follow(t.Context(), streams)
	require.NoError(t, err)
	var hubs sync.WaitGroup
	for hub := range 2 {
		b := peer(t, opened{db: connect(t, others, others.open(t)), config: o.config})
		if e.name == "SQLite" {
			b = peer(t, o) // others have a file of their own
		}
		for _, call := range []func(n uint64) error{
			func(n uint64) error { return b.Publish(t.Context(), []broker.Batch{toEach(streams, hub, n)}) },
			func(uint64) error { _, err := b.Follow(t.Context(), streams); return err },
			func(uint64) error { _, err := b.Positions(t.Context(), streams); return err },
			func(uint64) error { _, err := b.Read(t.Context(), "g0", 0, 10); return err },
			func(uint64) error { return o.age(2 * time.Minute) },
		} {
			hubs.Go(func() {
				for n := range uint64(50) {
					assert.NoError(t, call(n+1))
				}
			})
		}
	}
	hubs.Wait()
	after, err := o.Positions(t.Context(), streams)
	require.NoError(t, err)
	for i := range streams {
		assert.Equal(t, before[i].Epoch, after[i].Epoch)
	}
	h, err := o.Read(t.Context(), "g0", 0, 1000)
	require.NoError(t, err)
	assert.Len(t, h.Messages, 100)
}

// toEach returns a batch with one message for each stream.
func toEach(streams []string, source int, number uint64) broker.Batch {
	batch := broker.Batch{Source: fmt.Sprint(source), Number: number}
	for _, name := range streams {
		batch.Messages = append(batch.Messages, broker.Message{Stream: name, Payload: []byte("x")})
	}
	return batch
}
