package snapshots

import (
	"context"
	"encoding/json"
	"errors"
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

// sharing runs a test in a bubble with Calls whose functions have a minute.
func sharing(t *testing.T, limit int, f func(t *testing.T, c *Calls)) {
	synctest.Test(t, func(t *testing.T) {
		group := tasks.New()
		f(t, New(Config{Go: group.Go, Max: limit, Timeout: time.Minute}))
		require.NoError(t, group.End(context.Background()))
	})
}

var (
	always = func(broker.Position) bool { return true }
	never  = func(broker.Position) bool { return false }
	key    = Key{Group: "g"}
)

func at(offset uint64) broker.Position { return broker.Position{Epoch: "E", Offset: offset} }

// There is one call for a key at a time, also while one runs on that all have left.
func TestOneCallAtATime(t *testing.T) {
	sharing(t, -1, func(t *testing.T, c *Calls) {
		var running, most, calls atomic.Int32
		read := func(context.Context) (*Encoded, error) { // ignores its context
			calls.Add(1)
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			time.Sleep(10 * time.Second)
			return Encode(1, -1)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, _, err := c.Share(ctx, key, at(1), always, read)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		var all sync.WaitGroup
		for i := range 5 {
			all.Go(func() {
				e, position, err := c.Share(context.Background(), key, at(uint64(i)), always, read)
				assert.NoError(t, err)
				assert.Equal(t, "1", string(e.JSON))
				assert.Equal(t, at(uint64(i)), position, "it knows what comes after its own position")
			})
		}
		all.Wait()
		assert.EqualValues(t, 2, calls.Load())
		assert.EqualValues(t, 1, most.Load())
		assert.Zero(t, c.count())
	})
}

func TestPositionsOfSharedCalls(t *testing.T) {
	sharing(t, -1, func(t *testing.T, c *Calls) {
		read := func(context.Context) (*Encoded, error) { time.Sleep(10 * time.Second); return Encode(1, -1) }
		var all sync.WaitGroup
		share := func(own broker.Position, reach func(broker.Position) bool, want broker.Position, after time.Duration) {
			all.Go(func() {
				start := time.Now()
				_, position, err := c.Share(context.Background(), key, own, reach, read)
				assert.NoError(t, err)
				assert.Equal(t, want, position)
				assert.Equal(t, after, time.Since(start))
			})
			synctest.Wait()
		}
		share(at(1), never, at(1), 10*time.Second)
		share(at(2), always, at(1), 10*time.Second)
		share(at(3), never, at(3), 20*time.Second)
		share(at(4), never, at(4), 20*time.Second)
		other, _, err := c.Share(context.Background(), Key{Group: "h"}, at(9), never, read)
		require.NoError(t, err, "another key has its own call")
		assert.NotNil(t, other)
		all.Wait()
		assert.Zero(t, c.count())
	})
}

// A crowd asks over two seconds, as the clients of a group do that was sent a resync.
func TestCrowdsShareCalls(t *testing.T) {
	const clients, spread, duration = 1000, 2 * time.Second, 50 * time.Millisecond
	for name, reach := range map[string]func(broker.Position) bool{"with a history": always, "without": never} {
		t.Run(name, func(t *testing.T) {
			sharing(t, -1, func(t *testing.T, c *Calls) {
				var version, calls atomic.Int32 // of the data
				read := func(context.Context) (*Encoded, error) {
					calls.Add(1)
					v := version.Load()
					time.Sleep(duration)
					return Encode(v, -1)
				}
				var all sync.WaitGroup
				for i := range clients {
					all.Go(func() {
						time.Sleep(spread * time.Duration(i) / clients)
						own := at(uint64(version.Add(1)))
						start := time.Now()
						e, from, err := c.Share(context.Background(), key, own, reach, read)
						assert.NoError(t, err)
						assert.LessOrEqual(t, time.Since(start), maxPause+2*duration)
						var got uint64
						assert.NoError(t, json.Unmarshal(e.JSON, &got))
						assert.GreaterOrEqual(t, got, from.Offset, "the position is from before the call")
						assert.LessOrEqual(t, from.Offset, own.Offset)
					})
				}
				all.Wait()
				t.Logf("%d clients made %d calls", clients, calls.Load())
				assert.LessOrEqual(t, int(calls.Load()), 6)

				start := time.Now()
				time.Sleep(maxPause)
				_, _, err := c.Share(context.Background(), key, at(9), never, read)
				require.NoError(t, err)
				assert.Equal(t, maxPause+duration, time.Since(start), "a single client waits for nobody")
				assert.Zero(t, c.count())
			})
		})
	}
}

// The pause leaves those that wait the time for a call.
func TestPauseFitsIntoTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		group := tasks.New()
		const timeout = 200 * time.Millisecond
		c := New(Config{Go: group.Go, Max: -1, Timeout: timeout})
		read := func(context.Context) (*Encoded, error) { time.Sleep(timeout / 2); return Encode(1, -1) }
		var all sync.WaitGroup
		share := func() {
			ctx, cancel := context.WithTimeout(context.Background(), timeout)
			defer cancel()
			_, _, err := c.Share(ctx, key, at(1), always, read)
			assert.NoError(t, err)
		}
		for range crowd {
			all.Go(share)
		}
		all.Wait()
		share()
		require.NoError(t, group.End(context.Background()))
	})
}

// The end of a hub ends the pause.
func TestPauseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		group := tasks.New()
		c := New(Config{Go: group.Go, Max: -1, Timeout: time.Minute})
		read := func(context.Context) (*Encoded, error) { time.Sleep(time.Second); return Encode(1, -1) }
		var all sync.WaitGroup
		for range crowd {
			all.Go(func() {
				_, _, err := c.Share(context.Background(), key, at(1), always, read)
				assert.NoError(t, err)
			})
		}
		all.Wait()
		assert.Equal(t, 1, c.count(), "a pause")
		start := time.Now()
		require.NoError(t, group.End(context.Background()))
		assert.Zero(t, time.Since(start))
		assert.Zero(t, c.count())
	})
}

func TestBusy(t *testing.T) {
	sharing(t, 1, func(t *testing.T, c *Calls) {
		block := func(ctx context.Context) (*Encoded, error) {
			time.Sleep(10 * time.Minute)
			return nil, errors.New("late")
		}
		go func() { _, _ = c.Run(context.Background(), block) }()
		synctest.Wait()
		start := time.Now()
		_, err := c.Run(context.Background(), block)
		require.ErrorIs(t, err, ErrBusy)
		_, _, err = c.Share(context.Background(), key, at(1), never, block)
		require.ErrorIs(t, err, ErrBusy)
		assert.Equal(t, 2*time.Minute, time.Since(start))
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_, err = c.Run(ctx, block)
		require.ErrorIs(t, err, context.Canceled)
		time.Sleep(time.Hour)
	})
}

// count returns the number of keys with a call.
func (c *Calls) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.keys)
}
