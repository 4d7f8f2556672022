package rohrpost

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// faulty is a MemoryBroker that a test can make fail.
type faulty struct {
	*MemoryBroker
	down   atomic.Bool // every call fails
	stuck  atomic.Bool // Publish waits for its context
	lossy  atomic.Bool // Run delivers nothing
	unread atomic.Bool // histories cannot be read

	follows atomic.Int32 // calls of Follow
}

var errDown = errors.New("the broker is down")

func (f *faulty) Run(ctx context.Context, ready func(), deliver func([]broker.Message)) error {
	if f.down.Load() {
		return errDown
	}
	return f.MemoryBroker.Run(ctx, ready, func(batch []broker.Message) {
		if !f.lossy.Load() {
			deliver(batch)
		}
	})
}

func (f *faulty) Publish(ctx context.Context, batches []broker.Batch) error {
	if f.stuck.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	if f.down.Load() {
		return errDown
	}
	return f.MemoryBroker.Publish(ctx, batches)
}

func (f *faulty) Follow(ctx context.Context, streams []string) ([]broker.Position, error) {
	f.follows.Add(1)
	if f.down.Load() {
		return nil, errDown
	}
	return f.MemoryBroker.Follow(ctx, streams)
}

func (f *faulty) Read(ctx context.Context, stream string, after uint64, limit int) (broker.History, error) {
	if f.down.Load() || f.unread.Load() {
		return broker.History{}, errDown
	}
	return f.MemoryBroker.Read(ctx, stream, after, limit)
}

// withBroker runs a test in a bubble with a hub on a broker that can fail.
func withBroker(t *testing.T, config Config, f func(*testing.T, *Hub, *faulty)) {
	synctest.Test(t, func(t *testing.T) {
		b := &faulty{MemoryBroker: NewMemoryBroker(HistoryLimits{})}
		config.Broker, config.PingInterval, config.Limits.IdleTimeout = b, -1, -1 // the client does not read all the time
		hub := quiet(config)
		defer func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			assert.NoError(t, hub.Shutdown(ctx))
		}()
		f(t, hub, b)
	})
}

func change(n int) Change { return Change{Group: "g", Type: Create, Object: n} }

// changed is the end of the message of change(n).
func changed(n, offset int) string {
	return fmt.Sprintf(`"data":{"type":"create","group":"g","object":%d,"offset":%d}}`, n, offset)
}

func TestTwoHubsShareABroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := NewMemoryBroker(HistoryLimits{})
		a, b := quiet(Config{Broker: shared}), quiet(Config{Broker: shared.Peer()})
		wsA, wsB := pipe(t, a), pipe(t, b)
		join(t, wsA, "g")
		join(t, wsB, "g")
		require.NoError(t, a.Publish(t.Context(), change(1)))
		synctest.Wait()
		require.NoError(t, b.Publish(t.Context(), change(2), Change{Group: "other", Type: Create}))
		synctest.Wait()
		require.NoError(t, a.Send("g", Message{ID: 7, Type: "plain"}))
		synctest.Wait()
		require.NoError(t, b.Publish(t.Context(), newResync("{any}", "rows")))
		for _, ws := range []interface{ ReadMessage() (int, []byte, error) }{wsA, wsB} {
			for _, want := range []string{
				changed(1, 1), changed(2, 2), `{"id":7,"type":"plain","group":"g"}`,
				`"data":{"type":"resync","group":"g","object":{"reason":"rows","spread":0},"offset":3}}`,
				`"data":{"type":"resync","group":"g","object":{"reason":"rows","spread":0},"offset":4}}`, // of the other hub
			} {
				_, got, err := ws.ReadMessage()
				require.NoError(t, err)
				assert.Contains(t, string(got), want)
			}
		}
		require.NoError(t, errors.Join(wsA.Close(), wsB.Close()))
		require.NoError(t, errors.Join(a.Shutdown(context.Background()), b.Shutdown(context.Background())))
	})
}

func TestSlowBrokerDelaysNoPublisher(t *testing.T) {
	withBroker(t, Config{}, func(t *testing.T, hub *Hub, b *faulty) {
		ws := pipe(t, hub)
		join(t, ws, "g")
		b.stuck.Store(true)
		start := time.Now()
		for n := range 100 {
			require.NoError(t, hub.Publish(t.Context(), change(n)))
		}
		assert.Zero(t, time.Since(start), "publishing waits for nothing")
		time.Sleep(time.Minute)
		b.stuck.Store(false)
		for n := range 100 {
			assert.Contains(t, receive(t, ws), changed(n, n+1), "all in order, once")
		}
		require.NoError(t, ws.Close())
	})
}

func TestLostLastMessageIsFound(t *testing.T) {
	withBroker(t, Config{}, func(t *testing.T, hub *Hub, b *faulty) {
		ws := pipe(t, hub)
		join(t, ws, "g")
		b.lossy.Store(true)
		require.NoError(t, hub.Publish(t.Context(), change(1)))
		synctest.Wait()
		start := time.Now()
		assert.Contains(t, receive(t, ws), changed(1, 1))
		assert.LessOrEqual(t, time.Since(start), 10*time.Second)
		require.NoError(t, ws.Close())
	})
}

func TestUnreadableHistoryIsAResync(t *testing.T) {
	withBroker(t, Config{}, func(t *testing.T, hub *Hub, b *faulty) {
		ws := pipe(t, hub)
		join(t, ws, "g")
		synctest.Wait() // it has compared the positions
		b.lossy.Store(true)
		require.NoError(t, hub.Publish(t.Context(), change(1)))
		synctest.Wait()
		b.lossy.Store(false)
		b.unread.Store(true)
		require.NoError(t, hub.Publish(t.Context(), change(2)))
		assert.Regexp(t, `"data":{"type":"resync","group":"g","object":{"reason":"broker","spread":0},"epoch":"[A-Z2-7]{20}","offset":2}}$`, receive(t, ws))
		require.NoError(t, hub.Publish(t.Context(), change(3)))
		assert.Contains(t, receive(t, ws), changed(3, 3), "it goes on from there")
		require.NoError(t, ws.Close())
	})
}

func TestSubscribingWithoutABroker(t *testing.T) {
	withBroker(t, Config{}, func(t *testing.T, hub *Hub, b *faulty) {
		b.down.Store(true)
		ws := pipe(t, hub)
		send(t, ws, `{"id":1,"type":"subscribe","data":{"group":"g"}}`)
		start := time.Now()
		assert.Equal(t, `{"id":1,"type":"subscribe","error":"UNAVAILABLE","error_info":{"code":"unavailable","temporary":true}}`, receive(t, ws))
		assert.Equal(t, 5*time.Second, time.Since(start))
		assert.Zero(t, hub.Stats().Groups)
		b.down.Store(false)
		time.Sleep(2 * time.Second)
		join(t, ws, "g")
		require.NoError(t, ws.Close())
	})
}

// publishTo publishes as another program.
func publishTo(t *testing.T, b broker.Broker, number uint64, stream, payload string) {
	t.Helper()
	batch := broker.Batch{Source: "foreign", Number: number, Messages: []broker.Message{{Stream: stream, Payload: []byte(payload)}}}
	require.NoError(t, b.Publish(t.Context(), []broker.Batch{batch}))
}

// Other programs may publish anything to the broker, and hubs of later versions.
func TestForeignMessagesReachNoClient(t *testing.T) {
	withBroker(t, Config{}, func(t *testing.T, hub *Hub, b *faulty) {
		ws := pipe(t, hub)
		join(t, ws, "g")
		foreign := []string{
			"\x01", "\x01{", "\x01[]", "\x01{\"a\":1}", "\x01{\"a\":\"\xff\"}}", "\x01{\"data\":{\"x\":1} }",
			"\x01" + strings.Repeat("x", 2<<20), `{"data":{}}`, "\x03of a later version", "\x02too short",
		}
		for n, payload := range foreign {
			publishTo(t, b.MemoryBroker, uint64(2*n+1), "g", payload)
			publishTo(t, b.MemoryBroker, uint64(2*n+2), "!orders", payload)
			assert.Regexp(t, `"data":{"type":"resync","group":"g","object":{"reason":"broker","spread":0},"offset":\d+}}$`, receive(t, ws))
		}
		stats := hub.Stats()
		assert.EqualValues(t, 6, stats.Foreign)
		assert.EqualValues(t, 7+5, stats.Skipped, "two of the orders are JSON objects, of an unknown kind")
		require.NoError(t, hub.Publish(t.Context(), change(1)))
		assert.Contains(t, receive(t, ws), changed(1, len(foreign)+1))
		require.NoError(t, ws.Close())
	})
}

func TestShutdownWithoutABroker(t *testing.T) {
	withBroker(t, Config{}, func(t *testing.T, hub *Hub, b *faulty) {
		ws := pipe(t, hub)
		join(t, ws, "g")
		b.stuck.Store(true)
		require.NoError(t, hub.Publish(t.Context(), change(1)))
		start := time.Now()
		var done sync.WaitGroup
		done.Go(func() { _ = closeCode(ws) })
		require.NoError(t, hub.Shutdown(t.Context()))
		assert.LessOrEqual(t, time.Since(start), flushTimeout)
		done.Wait()
	})
}
