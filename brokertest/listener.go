package brokertest

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// warmUp is the stream that shows that Run delivers.
const warmUp = "brokertest-warm-up"

// listener is the hub of a broker: it runs it and writes down what is delivered.
type listener struct {
	t        *testing.T
	broker   Broker
	patience time.Duration
	keeps    bool // the broker gives positions

	concurrent bool

	cancel context.CancelFunc
	ended  chan error

	mu      sync.Mutex // guards what follows
	batches [][]Message
	warm    int
	busy    bool
	told    bool // that it was busy
	over    bool // Run has returned
	changed chan struct{}
}

// listen opens a broker and runs it.
func listen(t *testing.T, c Config) *listener {
	t.Helper()
	return listenTo(t, c, c.Open(t))
}

// listenKeeping is listen for a clause about positions.
func listenKeeping(t *testing.T, c Config) *listener {
	t.Helper()
	l := listen(t, c)
	l.needPositions()
	return l
}

func listenTo(t *testing.T, c Config, b Broker) *listener {
	t.Helper()
	l := &listener{t: t, broker: b, patience: c.Patience, concurrent: c.Concurrent, changed: make(chan struct{})}
	epoch, _ := l.subscribe(warmUp)
	l.keeps = epoch != ""
	l.run()
	t.Cleanup(func() { l.stop() })
	return l
}

func (l *listener) needPositions() {
	if !l.keeps {
		l.t.Skip("the broker gives no positions")
	}
}

// run starts Run and returns once it delivers.
func (l *listener) run() {
	l.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l.mu.Lock()
	l.over = false
	before := l.warm
	l.mu.Unlock()
	ended := make(chan error, 1)
	l.cancel, l.ended = cancel, ended
	go func() {
		err := l.broker.Run(ctx, l.deliver)
		l.mu.Lock()
		l.over = true
		l.mu.Unlock()
		ended <- err
	}()
	for deadline := time.Now().Add(l.patience); ; time.Sleep(5 * time.Millisecond) {
		l.publish(Message{Stream: warmUp, Plain: true})
		l.mu.Lock()
		delivers := l.warm > before
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

// stop ends Run, if it runs, and returns its error.
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
		l.t.Error("Run does not end with its context")
		return nil
	}
}

func (l *listener) deliver(batch []Message) {
	l.mu.Lock()
	if l.busy && !l.concurrent && !l.told {
		l.told = true
		l.t.Error("deliver is called while it is being called")
	}
	if l.over {
		l.t.Error("deliver is called after Run has returned")
	}
	l.busy = true
	l.mu.Unlock()

	runtime.Gosched() // whoever calls concurrently does so now
	var own []Message
	warm := 0
	for _, m := range batch {
		if m.Stream == warmUp {
			warm++
		} else {
			own = append(own, m)
		}
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy = false
	l.warm += warm
	if len(own) > 0 || warm == 0 {
		l.batches = append(l.batches, own)
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

// got returns what was delivered so far, batch by batch.
func (l *listener) got() [][]Message {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([][]Message(nil), l.batches...)
}

// await returns what was delivered as soon as it is n messages.
func (l *listener) await(n int) [][]Message {
	l.t.Helper()
	return l.awaitThat(fmt.Sprint(n, " messages"), func(all []Message) bool { return len(all) >= n })
}

// awaitLast returns what was delivered as soon as the payload is there.
func (l *listener) awaitLast(payload string) [][]Message {
	l.t.Helper()
	return l.awaitThat("the message "+payload, func(all []Message) bool {
		for _, m := range all {
			if string(m.Payload) == payload {
				return true
			}
		}
		return false
	})
}

func (l *listener) awaitThat(what string, there func([]Message) bool) [][]Message {
	l.t.Helper()
	timeout := time.After(l.patience)
	for {
		l.mu.Lock()
		batches, changed := append([][]Message(nil), l.batches...), l.changed
		l.mu.Unlock()
		if there(flat(batches)) {
			return batches
		}
		select {
		case <-changed:
		case <-timeout:
			l.t.Fatalf("waiting for %s, got %d: %.2000s", what, len(flat(batches)), fmt.Sprint(payloads(flat(batches))))
		}
	}
}

func (l *listener) subscribe(stream string) (string, uint64) {
	l.t.Helper()
	epoch, offset, err := l.broker.Subscribe(l.t.Context(), stream)
	require.NoError(l.t, err, "subscribe to %q", stream)
	return epoch, offset
}

func (l *listener) unsubscribe(stream string) {
	l.t.Helper()
	require.NoError(l.t, l.broker.Unsubscribe(l.t.Context(), stream), "unsubscribe from %q", stream)
}

func (l *listener) publish(batch ...Message) {
	l.t.Helper()
	require.NoError(l.t, l.broker.Publish(l.t.Context(), batch))
}

func (l *listener) history(stream string, after uint64, limit int) (string, uint64, []Message) {
	l.t.Helper()
	epoch, offset, messages, err := l.broker.History(l.t.Context(), stream, after, limit)
	require.NoError(l.t, err, "history of %q", stream)
	return epoch, offset, messages
}

// position returns the position of a stream, and fails if Positions and History
// do not agree.
func (l *listener) position(stream string) (string, uint64) {
	l.t.Helper()
	epochs, offsets, err := l.broker.Positions(l.t.Context(), []string{stream})
	require.NoError(l.t, err)
	require.Len(l.t, epochs, 1)
	require.Len(l.t, offsets, 1)
	epoch, offset, _ := l.history(stream, 0, 0)
	assert.Equal(l.t, epochs[0], epoch, "History and Positions of %q", stream)
	assert.Equal(l.t, offsets[0], offset, "History and Positions of %q", stream)
	return epochs[0], offsets[0]
}

// text is a message with a payload of its own.
func text(stream, payload string) Message {
	return Message{Stream: stream, Payload: []byte(payload)}
}

func flat(batches [][]Message) []Message {
	var all []Message
	for _, b := range batches {
		all = append(all, b...)
	}
	return all
}

func payloads(messages []Message) []string {
	texts := []string{}
	for _, m := range messages {
		texts = append(texts, string(m.Payload))
	}
	return texts
}

func offsets(messages []Message) []uint64 {
	numbers := []uint64{}
	for _, m := range messages {
		numbers = append(numbers, m.Offset)
	}
	return numbers
}

func of(stream string, messages []Message) []Message {
	var own []Message
	for _, m := range messages {
		if m.Stream == stream {
			own = append(own, m)
		}
	}
	return own
}

// count returns first, first+1 and so on, n numbers.
func count(first uint64, n int) []uint64 {
	numbers := []uint64{}
	for i := range n {
		numbers = append(numbers, first+uint64(i))
	}
	return numbers
}
