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
	"github.com/rohrpost/rohrpost/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// faulty is a MemoryBroker that a test can make fail.
type faulty struct {
	*MemoryBroker
	down    atomic.Bool              // every call fails
	stuck   atomic.Bool              // Publish waits for its context
	lossy   atomic.Bool              // Run delivers nothing
	slow    atomic.Bool              // orders are read slowly
	late    atomic.Bool              // Publish takes five milliseconds
	asked   atomic.Pointer[[]string] // the streams of the last call of Follow
	unread  atomic.Bool              // histories cannot be read
	failing atomic.Bool              // Run has lost its connection
	end     atomic.Pointer[context.CancelFunc]

	runs, follows atomic.Int32 // calls of Run and Follow
}

var errDown = errors.New("the broker is down")

func (f *faulty) Run(ctx context.Context, ready func(), deliver func([]broker.Message)) error {
	f.runs.Add(1)
	if f.down.Load() || f.failing.Load() {
		return errDown
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f.end.Store(&cancel)
	return f.MemoryBroker.Run(ctx, ready, func(batch []broker.Message) {
		if !f.lossy.Load() {
			deliver(batch)
		}
	})
}

// fail makes Run fail for ten seconds.
func (f *faulty) fail() {
	f.failing.Store(true)
	(*f.end.Load())()
	time.AfterFunc(10*time.Second, func() { f.failing.Store(false) })
}

func (f *faulty) Publish(ctx context.Context, batches []broker.Batch) error {
	if f.stuck.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	if f.down.Load() {
		return errDown
	}
	if f.late.Load() {
		time.Sleep(5 * time.Millisecond)
	}
	return f.MemoryBroker.Publish(ctx, batches)
}

func (f *faulty) Positions(ctx context.Context, streams []string) ([]broker.Position, error) {
	if f.stuck.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if f.down.Load() {
		return nil, errDown
	}
	return f.MemoryBroker.Positions(ctx, streams)
}

func (f *faulty) Follow(ctx context.Context, streams []string) ([]broker.Position, error) {
	f.follows.Add(1)
	f.asked.Store(&streams)
	if f.down.Load() {
		return nil, errDown
	}
	return f.MemoryBroker.Follow(ctx, streams)
}

func (f *faulty) Read(ctx context.Context, stream string, after uint64, limit int) (broker.History, error) {
	if f.down.Load() || f.unread.Load() {
		return broker.History{}, errDown
	}
	if f.slow.Load() && stream == "!orders" {
		time.Sleep(time.Second)
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
			synctest.Wait() // else the order could overtake it, and it would be read from the history too
			publishTo(t, b.MemoryBroker, uint64(2*n+2), "!orders", payload)
			assert.Regexp(t, `"data":{"type":"resync","group":"g","object":{"reason":"broker","spread":0},"offset":\d+}}$`, receive(t, ws))
			synctest.Wait() // the order is obeyed: what comes meanwhile is read from the history, if that can keep it
		}
		stats := hub.Stats()
		assert.EqualValues(t, 6, stats.Foreign)
		assert.EqualValues(t, 14, stats.Skipped)
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
		shutDown(t, hub)
		assert.LessOrEqual(t, time.Since(start), flushTimeout+time.Second, "a call that does not end is abandoned")
		done.Wait()
	})
}

// A worker process writes and has no sockets: its hub publishes, and does nothing else.
func TestWorkerListensToNothing(t *testing.T) {
	withBroker(t, Config{}, func(t *testing.T, worker *Hub, b *faulty) {
		hub := quiet(calm(Config{Broker: b.MemoryBroker.Peer()}))
		ws := pipe(t, hub)
		join(t, ws, "g")
		require.NoError(t, worker.Publish(t.Context(), change(1)))
		require.NoError(t, worker.Publish(t.Context(), newResync("g", "rows")))
		require.NoError(t, worker.Flush(t.Context()))
		assert.Contains(t, receive(t, ws), changed(1, 1))
		assert.Contains(t, receive(t, ws), `"type":"resync"`)
		time.Sleep(time.Minute)
		assert.Zero(t, b.runs.Load())
		assert.Zero(t, b.follows.Load())
		require.NoError(t, ws.Close())
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}

func TestFlush(t *testing.T) {
	withBroker(t, Config{}, func(t *testing.T, hub *Hub, b *faulty) {
		require.NoError(t, hub.Flush(t.Context()), "nothing waits")
		b.down.Store(true)
		require.NoError(t, hub.Publish(t.Context(), change(1)))
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		err := hub.Flush(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorContains(t, err, "1 batches wait")
		b.down.Store(false)
		b.late.Store(true)
		var busy atomic.Bool
		busy.Store(true)
		var publisher sync.WaitGroup
		publisher.Go(func() {
			for busy.Load() {
				assert.NoError(t, hub.Publish(context.Background(), change(2)))
				time.Sleep(time.Millisecond)
			}
		})
		time.Sleep(10 * time.Millisecond)
		ctx, cancel = context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		require.NoError(t, hub.Flush(ctx), "what comes later is not waited for")
		busy.Store(false)
		publisher.Wait()
	})
}

// Shutdown publishes what waits for a broker that answers again in time.
func TestShutdownPublishesWhatWaits(t *testing.T) {
	withBroker(t, Config{}, func(t *testing.T, hub *Hub, b *faulty) {
		other := quiet(calm(Config{Broker: b.MemoryBroker.Peer()}))
		ws := pipe(t, other)
		join(t, ws, "g")
		b.down.Store(true)
		for n := range 500 {
			require.NoError(t, hub.Publish(t.Context(), change(n)))
		}
		time.AfterFunc(3*time.Second, func() { b.down.Store(false) })
		shutDown(t, hub)
		for n := range 500 {
			assert.Contains(t, receive(t, ws), changed(n, n+1))
		}
		require.NoError(t, ws.Close())
		require.NoError(t, other.Shutdown(context.Background()))
	})
}

// PublishBatches takes each number once, over a broker and without one.
func TestPublishBatches(t *testing.T) {
	for name, config := range map[string]Config{"broker": {Broker: NewMemoryBroker(HistoryLimits{})}, "alone": {}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hub := quiet(calm(config))
				ws := pipe(t, hub)
				join(t, ws, "g")
				join(t, ws, "h")
				synctest.Wait() // the hub listens
				payload := func(n int) []byte {
					raw, err := (&wire.Change{Group: "g", Type: Create, Object: n}).Encode()
					require.NoError(t, err)
					return raw
				}
				batch := func(number uint64, messages ...broker.Message) broker.Batch {
					return broker.Batch{Source: "outbox", Number: number, Messages: messages}
				}
				batches := []broker.Batch{
					batch(1, broker.Message{Stream: "g", Payload: payload(1)}),
					batch(3, broker.Message{Stream: "g", Payload: payload(2)}, broker.Message{Stream: "nobody", Payload: payload(0)}),
				}
				for range 2 {
					require.NoError(t, hub.PublishBatches(t.Context(), batches))
				}
				number, err := hub.Taken(t.Context(), "outbox")
				require.NoError(t, err)
				assert.EqualValues(t, 3, number)
				require.NoError(t, hub.PublishBatches(t.Context(), []broker.Batch{
					batch(4, broker.Message{Stream: "g", Payload: []byte("no JSON")}, broker.Message{Stream: "no group", Payload: payload(0)}),
					batch(5, broker.Message{Stream: "{any}", Payload: []byte(`{"reason":"rows"}`)}),
				}))
				assert.Contains(t, receive(t, ws), changed(1, 1))
				assert.Contains(t, receive(t, ws), changed(2, 2))
				assert.Contains(t, receive(t, ws), `"group":"g","object":{"reason":"size","spread":0},"offset":3}}`)
				assert.Contains(t, receive(t, ws), `"group":"g","object":{"reason":"rows","spread":0},"offset":4}}`)
				assert.Contains(t, receive(t, ws), `"group":"h","object":{"reason":"rows","spread":0},"offset":1}}`)
				assert.EqualValues(t, 2, hub.Stats().Skipped)
				require.Error(t, hub.PublishBatches(t.Context(), []broker.Batch{{Source: "outbox"}}))
				require.Error(t, hub.PublishBatches(t.Context(), []broker.Batch{{Number: 1}}))
				require.NoError(t, ws.Close())
				require.NoError(t, hub.Shutdown(context.Background()))
				require.ErrorIs(t, hub.PublishBatches(t.Context(), batches), ErrClosed)
			})
		})
	}
}

// While the broker is away, one caller asks it for all pages, as long as one waits.
func TestBrokerIsAway(t *testing.T) {
	withBroker(t, Config{}, func(t *testing.T, hub *Hub, b *faulty) {
		b.down.Store(true)
		var pages sync.WaitGroup
		for page := range 100 {
			ws := pipe(t, hub)
			pages.Go(func() {
				for range 3 {
					send(t, ws, fmt.Sprintf(`{"id":1,"type":"subscribe","data":{"group":"g-%d"}}`, page))
					assert.Contains(t, receive(t, ws), "UNAVAILABLE")
				}
				assert.NoError(t, ws.Close())
			})
		}
		pages.Wait()
		assert.Less(t, b.follows.Load(), int32(40), "one call a second, with what is needed at the beginning")
		synctest.Wait()
		asked := b.follows.Load()
		time.Sleep(time.Minute)
		assert.LessOrEqual(t, b.follows.Load(), asked+65)
		assert.Equal(t, []string{"!orders"}, *b.asked.Load(), "no page waits any more")
		assert.Zero(t, hub.Stats().Groups)
		b.down.Store(false)
		time.Sleep(2 * time.Second)
		ws := pipe(t, hub)
		join(t, ws, "g-1")
		require.NoError(t, ws.Close())
	})
}

// What Position begins ends also when its caller does not wait for it.
func TestPositionLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &faulty{MemoryBroker: NewMemoryBroker(HistoryLimits{KeepUnused: time.Second})}
		hub := quiet(calm(Config{Broker: b}))
		for n := range 1000 {
			ctx, cancel := context.WithCancel(t.Context())
			go cancel()
			_, _ = hub.Position(ctx, fmt.Sprint("g-", n))
		}
		time.Sleep(time.Minute)
		for n := range 1000 {
			positions, err := b.Positions(t.Context(), []string{fmt.Sprint("g-", n)})
			require.NoError(t, err)
			require.Empty(t, positions[0].Epoch, "g-%d", n)
		}
		require.NoError(t, hub.Shutdown(context.Background()))
		time.Sleep(time.Minute)
		positions, err := b.Positions(t.Context(), []string{"!orders"})
		require.NoError(t, err)
		assert.Empty(t, positions[0].Epoch, "nor does the hub's own stream go on")
	})
}

// A broker that is no Signaler carries no plain messages.
func TestSendNeedsASignaler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := quiet(calm(Config{Broker: struct{ broker.Broker }{NewMemoryBroker(HistoryLimits{})}}))
		err := hub.Send("g", Message{Type: "plain"})
		require.ErrorContains(t, err, "publish a change instead")
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}

// Two hubs must not share one value of a MemoryBroker.
func TestMemoryBrokerServesOneHub(t *testing.T) {
	b := NewMemoryBroker(HistoryLimits{})
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error)
	go func() { ended <- b.Run(ctx, func() { close(ready) }, func([]broker.Message) {}) }()
	<-ready
	require.ErrorContains(t, b.Run(ctx, func() {}, func([]broker.Message) {}), "Peer")
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
}
