package upstream

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/tasks"
)

const (
	// brokerTimeout is the time that a broker has for one answer.
	brokerTimeout = 5 * time.Second

	// abandonedAfter is the time that a call has to return after its context has ended.
	abandonedAfter = 100 * time.Millisecond
)

// Config configures the Upstream of a hub with a broker. All fields but Key are required.
type Config struct {
	Broker   broker.Broker
	Key      []byte // signs what the hub publishes; nil: nothing does
	Receiver Receiver
	Logger   *slog.Logger
	Tasks    *tasks.Group
	Frame    func(payload []byte) []byte // frames a signal

	Skipped *atomic.Uint64 // counts messages of the broker that are not valid
	Foreign *atomic.Uint64 // counts messages of versions that the hub does not know
	Lost    *atomic.Uint64 // counts messages in place of which groups get a resync

	AnyGroup string          // the pattern that matches all groups
	Overflow json.RawMessage // the object of a resync for messages that are lost
	Unread   json.RawMessage // that of a resync for a message that the hub cannot read
}

// remote is the Upstream of a hub with a broker, which may be slow or away, or lose
// messages. It publishes from the first message on, and listens from the first group on.
type remote struct {
	Config
	codec    codec
	limits   broker.Limits
	source   string // of the batches
	begin    sync.Once
	queue    publishQueue
	signals  signalQueue
	follower follower
	orders   orders
	health   health
	unread   unread
	check    chan struct{} // asks for a check of the positions
	overflow throttle
}

// New returns the Upstream of a hub with a broker. It starts nothing.
func New(c Config) Upstream {
	r := &remote{Config: c, codec: codec{c.Key}, source: rand.Text(), check: make(chan struct{}, 1)}
	guard := guarded{c.Broker}
	r.Broker, r.limits = guard, guard.Limits()
	r.queue.init(r)
	r.signals.init(r)
	r.follower.init(r)
	r.orders.init(r)
	r.health.remote = r
	return r
}

// start begins to listen.
func (r *remote) start() {
	r.begin.Do(func() {
		r.follower.follow(orderStream, r.orders.begin, func() bool { return false })
		r.Tasks.Go(r.listen)
		r.Tasks.Go(r.checkPeriodically)
		r.Tasks.Go(r.health.watch)
	})
}

// name returns the type of the broker, for the log.
func (r *remote) name() string { return fmt.Sprintf("%T", r.Broker.(guarded).broker) }

// isOwn reports whether a stream is one by which hubs tell each other what to do. No group
// has such a name.
func isOwn(stream string) bool { return strings.HasPrefix(stream, "!") }

func (r *remote) Publish(batch []broker.Message) {
	if len(batch) > 0 {
		r.queue.add(r.encoded(batch))
	}
}

// encoded returns messages as the broker gets them.
func (r *remote) encoded(batch []broker.Message) []broker.Message {
	messages := make([]broker.Message, len(batch))
	for i := range batch {
		messages[i] = r.encode(&batch[i])
	}
	return messages
}

// encode puts a resync in place of a message that is too large for the broker.
func (r *remote) encode(m *broker.Message) broker.Message {
	if r.isTooLarge(m) && !isOwn(m.Stream) {
		r.lost(1, "rohrpost: a message is larger than the broker takes: its group loads its snapshot again",
			"group", m.Stream, "bytes", len(m.Payload), "limit", r.limits.PayloadBytes)
		if resync, err := r.Receiver.Resync(m.Stream, r.Overflow); err == nil {
			m = &resync
		}
	}
	return broker.Message{Stream: m.Stream, Payload: r.codec.encode(m.Stream, m.Payload)}
}

func (r *remote) isTooLarge(m *broker.Message) bool {
	limit := r.limits.PayloadBytes
	return limit > 0 && len(m.Payload)+r.codec.overhead() > limit
}

// batchMessages returns the number of messages in the largest batch.
func (r *remote) batchMessages() int {
	if r.limits.BatchMessages > 0 {
		return r.limits.BatchMessages
	}
	return math.MaxInt
}

func (r *remote) Signal(m broker.Message) error {
	if r.isTooLarge(&m) {
		return fmt.Errorf("%w: %d bytes, limit %d", errLargeSignal, len(m.Payload), r.limits.PayloadBytes)
	}
	return r.signals.add(broker.Message{Stream: m.Stream, Payload: r.codec.encode(m.Stream, m.Payload)})
}

func (r *remote) Take(ctx context.Context, batches []broker.Batch) error {
	p := &publishCall{remote: r}
	for _, b := range batches {
		b.Messages = r.encoded(b.Messages)
		p.batches = append(p.batches, b)
	}
	return p.publish(ctx)
}

func (r *remote) Taken(ctx context.Context, source string) (uint64, error) {
	return r.Broker.Taken(ctx, source)
}

func (r *remote) Shared() bool { return true }

func (r *remote) HasHistory(string) bool { return true }

func (r *remote) Histories(func(string) bool) []string { return nil }

func (r *remote) Follow(group string, open func(at broker.Position) bool, gone func() bool) {
	r.start()
	r.follower.follow(group, func(at broker.Position) bool {
		r.orders.kept.opened(group, at)
		return open(at)
	}, gone)
}

func (r *remote) Unfollow(group string) { r.follower.unfollow(group) }

func (r *remote) History(ctx context.Context, group string, after uint64, limit int) (broker.History, error) {
	if err := r.orders.await(ctx); err != nil {
		return broker.History{}, fmt.Errorf("wait for the orders of other hubs: %w", err)
	}
	h, err := r.Broker.Read(ctx, group, after, limit)
	if err != nil {
		return broker.History{}, err
	}
	h.Messages = r.decoded(h.Messages)
	return h, nil
}

func (r *remote) Outdated(ctx context.Context, group string, since, at broker.Position) bool {
	if wait(ctx, r.orders.kept.begun) != nil || r.orders.await(ctx) != nil {
		return true
	}
	r.orders.kept.opened(group, at) // it may have been opened before the resyncs were known
	return r.orders.kept.outdated(group, since)
}

var errNoAnswer = errors.New("the broker does not answer")

// Position follows the stream for a moment.
func (r *remote) Position(ctx context.Context, group string) (broker.Position, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, brokerTimeout, errNoAnswer)
	defer cancel()
	found := make(chan broker.Position, 1)
	r.follower.follow(group, func(at broker.Position) bool {
		found <- at
		return false
	}, func() bool { return ctx.Err() != nil })
	select {
	case at := <-found:
		return at, nil
	case <-ctx.Done():
		return broker.Position{}, context.Cause(ctx)
	}
}

func (r *remote) Flush(ctx context.Context) error {
	if err := r.queue.flush(ctx); err != nil {
		return err
	}
	return r.signals.flush(ctx)
}

func (r *remote) Close(ctx context.Context) {
	r.begin.Do(func() {}) // from now on nothing begins to listen
	r.follower.unfollow(orderStream)
	_ = r.follower.flush(ctx)
}

// ask calls the broker once, with a time limit. It does not wait for a call that ignores
// the end of its context, since others wait for the next call.
func ask[T any](ctx context.Context, r *remote, timeout time.Duration, call func(context.Context) (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errNoAnswer)
	done := make(chan result, 1)
	r.Tasks.Go(func(context.Context) {
		defer cancel()
		value, err := call(ctx)
		if err == nil {
			r.health.answer()
		}
		done <- result{value, err}
	})
	select {
	case found := <-done:
		return found.value, found.err
	case <-ctx.Done():
	}
	select {
	case found := <-done:
		return found.value, found.err
	case <-time.After(abandonedAfter): // it had time to return the error of ctx
		var none T
		return none, context.Cause(ctx)
	}
}

// call is ask for a call without a result.
func (r *remote) call(ctx context.Context, f func(context.Context) error) error {
	_, err := ask(ctx, r, brokerTimeout, func(ctx context.Context) (struct{}, error) { return struct{}{}, f(ctx) })
	return err
}

// retry repeats f until it succeeds, or returns the last error of f when ctx ends. It logs
// an error that differs from the one before, and each minute one that stays the same.
func (r *remote) retry(ctx context.Context, what string, f func(context.Context) error) error {
	var logged string
	var again time.Time
	for failures := 0; ; failures++ {
		err := f(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		if text := err.Error(); text != logged || !time.Now().Before(again) {
			logged, again = text, time.Now().Add(time.Minute)
			r.Logger.Error("rohrpost: "+what, "error", err, "attempts", failures+1)
		}
		tasks.Pause(ctx, tasks.Backoff(failures))
	}
}

// lost counts messages in place of which groups get a resync, and logs that once a
// minute. It does not wait for the log handler, which is the program's and may be what
// publishes.
func (r *remote) lost(messages int, text string, args ...any) {
	r.Lost.Add(uint64(messages))
	if r.overflow.pass() {
		r.Tasks.Go(func(context.Context) { r.Logger.Error(text, args...) })
	}
}

// throttle lets one log line a minute pass.
type throttle struct {
	mu   sync.Mutex
	next time.Time
}

func (t *throttle) pass() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if now.Before(t.next) {
		return false
	}
	t.next = now.Add(time.Minute)
	return true
}
