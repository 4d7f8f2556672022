package brokertest

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rohrpost/rohrpost/broker"
)

// probeStream is the stream by which a listener finds out that Run delivers.
const probeStream = "brokertest-probe"

// listener acts as the hub of a broker: it calls Run and records the deliveries.
type listener struct {
	t            *testing.T
	broker       broker.Broker
	timeout      time.Duration
	concurrent   bool // the broker may call deliver concurrently
	hasPositions bool // the broker gives positions

	cancel context.CancelFunc
	ended  chan error // the result of Run; nil if Run is not running

	mu         sync.Mutex         // guards the fields below
	batches    [][]broker.Message // delivered so far, without probes
	probes     int                // how many probes were delivered
	delivering bool               // a call of deliver is running
	reported   bool               // a concurrent call was reported
	returned   bool               // Run has returned
	changed    chan struct{}      // closed by the next delivery
}

// listen opens a broker and runs it.
func listen(t *testing.T, c Config) *listener {
	t.Helper()
	return listenTo(t, c, c.Open(t))
}

// listenWithPositions is listen for a clause about positions.
func listenWithPositions(t *testing.T, c Config) *listener {
	t.Helper()
	l := listen(t, c)
	l.requirePositions()
	return l
}

func listenTo(t *testing.T, c Config, b broker.Broker) *listener {
	t.Helper()
	l := &listener{
		t: t, broker: b, timeout: c.Timeout, concurrent: c.DeliversConcurrently,
		changed: make(chan struct{}),
	}
	l.hasPositions = l.subscribe(probeStream).Epoch != ""
	l.run()
	t.Cleanup(func() { l.stop() })
	return l
}

// requirePositions skips the test if the broker gives no positions.
func (l *listener) requirePositions() {
	l.t.Helper()
	if !l.hasPositions {
		l.t.Skip("the broker gives no positions")
	}
}

// run starts Run and returns once Run delivers. It publishes probes until then,
// because a broker may drop the messages that precede Run.
func (l *listener) run() {
	l.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l.mu.Lock()
	l.returned = false
	before := l.probes
	l.mu.Unlock()
	ended := make(chan error, 1)
	l.cancel, l.ended = cancel, ended
	go func() {
		err := l.broker.Run(ctx, l.deliver)
		l.mu.Lock()
		l.returned = true
		l.mu.Unlock()
		ended <- err
	}()
	for deadline := time.Now().Add(l.timeout); ; time.Sleep(5 * time.Millisecond) {
		l.publish(broker.Message{Stream: probeStream, Plain: true})
		l.mu.Lock()
		delivers := l.probes > before
		l.mu.Unlock()
		if delivers {
			return
		}
		if time.Now().After(deadline) {
			cancel()
			l.t.Fatal("Run delivers nothing")
		}
	}
}

// stop cancels Run, waits for it and returns its error. It does nothing if Run is
// not running.
func (l *listener) stop() error {
	if l.ended == nil {
		return nil
	}
	l.cancel()
	ended := l.ended
	l.ended = nil
	select {
	case err := <-ended:
		return err
	case <-time.After(l.timeout):
		l.t.Error("Run does not return after its context has ended")
		return nil
	}
}

// deliver records a batch.
func (l *listener) deliver(batch []broker.Message) {
	l.mu.Lock()
	if l.delivering && !l.concurrent && !l.reported {
		l.reported = true
		l.t.Error("Run calls deliver before the previous call has returned")
	}
	if l.returned {
		l.t.Error("the broker calls deliver after Run has returned")
	}
	l.delivering = true
	l.mu.Unlock()

	runtime.Gosched() // lets a concurrent call run now
	var messages []broker.Message
	probes := 0
	for _, m := range batch {
		if m.Stream == probeStream {
			probes++
		} else {
			messages = append(messages, m)
		}
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	l.delivering = false
	l.probes += probes
	if len(messages) > 0 || probes == 0 {
		l.batches = append(l.batches, messages)
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

// delivered returns the batches that were delivered so far.
func (l *listener) delivered() [][]broker.Message {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.batches)
}

// await waits until n messages were delivered, and returns all batches.
func (l *listener) await(n int) [][]broker.Message {
	l.t.Helper()
	return l.awaitUntil(fmt.Sprint(n, " messages"), func(all []broker.Message) bool { return len(all) >= n })
}

// awaitPayload waits until a message with the payload was delivered, and returns all
// batches.
func (l *listener) awaitPayload(payload string) [][]broker.Message {
	l.t.Helper()
	return l.awaitUntil("the message "+payload, func(all []broker.Message) bool {
		return slices.ContainsFunc(all, func(m broker.Message) bool { return string(m.Payload) == payload })
	})
}

func (l *listener) awaitUntil(description string, done func([]broker.Message) bool) [][]broker.Message {
	l.t.Helper()
	timeout := time.After(l.timeout)
	for {
		l.mu.Lock()
		batches, changed := slices.Clone(l.batches), l.changed
		l.mu.Unlock()
		all := flatten(batches)
		if done(all) {
			return batches
		}
		select {
		case <-changed:
		case <-timeout:
			l.t.Fatalf("waiting for %s, got %d: %.2000s", description, len(all), fmt.Sprint(payloads(all)))
		}
	}
}

func (l *listener) subscribe(stream string) broker.Position {
	l.t.Helper()
	position, err := l.broker.Subscribe(l.t.Context(), stream)
	require.NoError(l.t, err, "subscribe to %q", stream)
	return position
}

func (l *listener) unsubscribe(stream string) {
	l.t.Helper()
	require.NoError(l.t, l.broker.Unsubscribe(l.t.Context(), stream), "unsubscribe from %q", stream)
}

func (l *listener) publish(batch ...broker.Message) {
	l.t.Helper()
	require.NoError(l.t, l.broker.Publish(l.t.Context(), batch))
}

func (l *listener) history(stream string, after uint64, limit int) broker.History {
	l.t.Helper()
	history, err := l.broker.History(l.t.Context(), stream, after, limit)
	require.NoError(l.t, err, "history of %q", stream)
	return history
}

// position returns the position of a stream. It fails the test if Positions and
// History disagree.
func (l *listener) position(stream string) broker.Position {
	l.t.Helper()
	positions, err := l.broker.Positions(l.t.Context(), []string{stream})
	require.NoError(l.t, err)
	require.Len(l.t, positions, 1)
	assert.Equal(l.t, positions[0], l.history(stream, 0, 0).Position, "History and Positions of %q", stream)
	return positions[0]
}
