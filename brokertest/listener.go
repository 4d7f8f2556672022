package brokertest

import (
	"context"
	"crypto/rand"
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

// listener acts as the hub of a broker: it publishes as a source, calls Run, and records
// the deliveries.
type listener struct {
	t          *testing.T
	given      broker.Broker // as Config.Open or Config.Peer has returned it
	broker     guard         // of given
	patience   time.Duration
	concurrent bool // the broker may call deliver concurrently

	source string
	number uint64 // of the last batch

	cancel context.CancelFunc
	ended  chan error // the result of Run; nil if Run is not running

	mu         sync.Mutex         // guards the fields below
	batches    [][]broker.Message // delivered so far
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

func listenTo(t *testing.T, c Config, b broker.Broker) *listener {
	t.Helper()
	l := &listener{
		t: t, given: b, broker: guarded(b, c), patience: c.Patience, concurrent: c.DeliversConcurrently,
		source: rand.Text(), changed: make(chan struct{}),
	}
	l.run()
	t.Cleanup(func() { l.stop() })
	return l
}

// run starts Run and returns once it is ready.
func (l *listener) run() {
	l.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l.mu.Lock()
	l.returned = false
	l.mu.Unlock()
	ready, ended := make(chan struct{}, 10), make(chan error, 1)
	l.cancel, l.ended = cancel, ended
	go func() {
		err := l.broker.Run(ctx, func() { ready <- struct{}{} }, l.deliver)
		l.mu.Lock()
		l.returned = true
		l.mu.Unlock()
		if len(ready) > 0 {
			l.t.Error("Run calls ready again")
		}
		ended <- err
	}()
	select {
	case <-ready:
	case err := <-ended:
		ended <- err
		l.t.Fatalf("Run returns before it is ready: %v", err)
	case <-time.After(l.patience):
		cancel()
		l.t.Fatal("Run does not call ready")
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
	case <-time.After(l.patience):
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
	messages := slices.Clone(batch)

	l.mu.Lock()
	defer l.mu.Unlock()
	l.delivering = false
	l.batches = append(l.batches, messages)
	close(l.changed)
	l.changed = make(chan struct{})
}

// delivered returns the batches that were delivered so far.
func (l *listener) delivered() [][]broker.Message {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.batches)
}

// await waits until n messages that are not empty were delivered, and returns all
// batches.
func (l *listener) await(n int) [][]broker.Message {
	l.t.Helper()
	return l.awaitUntil(fmt.Sprint(n, " messages"), func(all []broker.Message) bool { return len(texts(all)) >= n })
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
	timeout := time.After(l.patience)
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
			l.t.Fatalf("waiting for %s, got %d: %.2000s", description, len(all), fmt.Sprint(texts(all)))
		}
	}
}

func (l *listener) follow(stream string) broker.Position {
	l.t.Helper()
	positions, err := l.broker.Follow(l.t.Context(), []string{stream})
	require.NoError(l.t, err, "follow %q", stream)
	require.Len(l.t, positions, 1, "Follow returns a position for each stream")
	return positions[0]
}

func (l *listener) unfollow(streams ...string) {
	l.t.Helper()
	require.NoError(l.t, l.broker.Unfollow(l.t.Context(), streams), "unfollow %q", streams)
}

// batch returns the next batch of the listener's source.
func (l *listener) batch(messages ...broker.Message) broker.Batch {
	l.number++
	return broker.Batch{Source: l.source, Number: l.number, Messages: messages}
}

// publish publishes a batch.
func (l *listener) publish(messages ...broker.Message) {
	l.t.Helper()
	l.publishBatches(l.batch(messages...))
}

func (l *listener) publishBatches(batches ...broker.Batch) {
	l.t.Helper()
	require.NoError(l.t, l.broker.Publish(l.t.Context(), batches))
}

func (l *listener) read(stream string, after uint64, limit int) broker.History {
	l.t.Helper()
	history, err := l.broker.Read(l.t.Context(), stream, after, limit)
	require.NoError(l.t, err, "read %q", stream)
	return history
}

func (l *listener) taken(source string) uint64 {
	l.t.Helper()
	number, err := l.broker.Taken(l.t.Context(), source)
	require.NoError(l.t, err)
	return number
}

// position returns the position of a stream. It fails the test if Positions and
// Read disagree.
func (l *listener) position(stream string) broker.Position {
	l.t.Helper()
	positions, err := l.broker.Positions(l.t.Context(), []string{stream})
	require.NoError(l.t, err)
	require.Len(l.t, positions, 1, "Positions returns a position for each stream")
	assert.Equal(l.t, positions[0], l.read(stream, 0, 0).Position, "Read and Positions of %q", stream)
	return positions[0]
}
