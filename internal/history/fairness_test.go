package history

import (
	"fmt"
	"testing"

	"github.com/rohrpost/rohrpost/internal/shards"
	"github.com/stretchr/testify/assert"
)

// A client that comes and goes under new names ends no history that has messages.
func TestNewNamesEndNoHistory(t *testing.T) {
	s := New(Config{Limits: Limits{MaxUnused: 16 * shards.Count}})
	defer s.Close()
	const victims = 200
	epochs := map[string]string{}
	for i := range victims {
		name := fmt.Sprint("victim-", i)
		s.Subscribe(name)
		if i%2 == 0 {
			put(t, s, name, 1, 10)
		}
		s.Unsubscribe(name)
		if i%2 == 1 {
			put(t, s, name, 1, 10) // a message that comes while nobody is subscribed counts too
		}
		epochs[name] = epochOf(s, name)
	}
	for i := range 10 * 16 * shards.Count {
		name := fmt.Sprint("churn-", i)
		s.Subscribe(name)
		s.Unsubscribe(name)
	}
	for name, epoch := range epochs {
		assert.Equal(t, epoch, epochOf(s, name))
		assert.Len(t, keptOf(s, name), 1)
	}
	assert.LessOrEqual(t, len(s.Keys(func(string) bool { return true })), 16*shards.Count)
}

// A group with many messages does not take the place of the others' few.
func TestFairShares(t *testing.T) {
	s := New(Config{Limits: Limits{MaxMessages: -1, MaxBytes: -1, MaxTotalBytes: shards.Count * 100_000}})
	defer s.Close()
	const victims = 500
	for i := range victims {
		name := fmt.Sprint("victim-", i)
		s.Subscribe(name)
		put(t, s, name, 2, 100)
	}
	for i := range 4 * shards.Count {
		name := fmt.Sprint("loud-", i)
		s.Subscribe(name)
		put(t, s, name, 200, 1000)
	}
	for i := range victims {
		assert.Len(t, keptOf(s, fmt.Sprint("victim-", i)), 2)
	}
}
