// Package redisbroker lets the hubs of several processes share their messages through
// Redis 6.2 or later, or Valkey: alone, with Sentinel, or as a cluster. Messages are kept
// in Redis, so that a page that was disconnected catches up with any of the processes.
//
//	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{"127.0.0.1:6379"}})
//	...
//	b, err := redisbroker.New(client, redisbroker.Config{App: "shop"})
//	...
//	hub := rohrpost.NewHub(rohrpost.Config{Broker: b})
//
// A restart of the server, a failover, and the loss of all keys may lose messages that
// Redis has taken. All streams then get new epochs: every page loads its snapshot again.
package redisbroker

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"
	"github.com/rohrpost/rohrpost/broker"
)

const (
	// remember is how long a source is remembered after its last batch.
	remember = 2 * time.Hour

	// maxPayload is the size of the largest payload, maxBatch the number of messages in the
	// largest batch: a script holds up the server.
	maxPayload = 8 << 20
	maxBatch   = 1000
)

// Config configures a Broker. A negative limit or duration means none.
type Config struct {
	// App is the name of the program, of letters, digits, "_", "." and "-". All keys and
	// channels begin with "{rohrpost:App}", so that several programs can share a server.
	// All processes of a program have the same. Required.
	App string

	// MaxMessages is about the number of messages kept of a group; Redis keeps up to 100
	// more. Defaults to 1,000.
	MaxMessages int

	// MaxBytes is about the bytes of messages kept of a group, by their average size, where
	// each counts 128 more than it has. Defaults to 512 KiB.
	MaxBytes int

	// MaxAge is how long a message is kept at least. Redis drops it after four times as
	// long at most. Defaults to 5 minutes.
	MaxAge time.Duration

	// KeepUnused is how long the history of a group goes on after its last member at any
	// hub has left; at least a minute, since hubs renew it every few seconds. Defaults to 5
	// minutes.
	KeepUnused time.Duration

	// ShardedPubSub publishes by SPUBLISH, which a cluster does not send to all its nodes.
	// It needs Redis 7 or later, and must be the same in all processes. Defaults to false.
	ShardedPubSub bool
}

var appGrammar = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,100}$`)

func (c Config) withDefaults() (Config, error) {
	if !appGrammar.MatchString(c.App) {
		return c, fmt.Errorf("redisbroker: Config.App is %q: name the program by 1 to 100 letters, digits, \"_\", \".\" and \"-\"", c.App)
	}
	c.MaxMessages = cmp.Or(c.MaxMessages, 1000)
	c.MaxBytes = cmp.Or(c.MaxBytes, 512<<10)
	c.MaxAge = cmp.Or(c.MaxAge, 5*time.Minute)
	c.KeepUnused = cmp.Or(c.KeepUnused, 5*time.Minute)
	if 0 < c.KeepUnused && c.KeepUnused < time.Minute {
		return c, fmt.Errorf("redisbroker: Config.KeepUnused is %v: it must be a minute at least, or negative", c.KeepUnused)
	}
	return c, nil
}

var (
	_ broker.Broker   = (*Broker)(nil)
	_ broker.Signaler = (*Broker)(nil)
	_ broker.Limiter  = (*Broker)(nil)
	_ broker.Renewer  = (*Broker)(nil)
)

// Broker is a broker.Broker on Redis for one hub. It starts no goroutine, and uses one
// connection for itself while its hub listens. Make one with New. All its methods may be
// called concurrently.
type Broker struct {
	client rueidis.Client
	config Config
	prefix string // of all keys and channels
	keys   []string

	mu       sync.Mutex // guards what follows
	followed map[string]bool
	listener rueidis.DedicatedClient // of Run; nil: it is not running
	place    place
}

// New returns a Broker that uses a client, which the caller closes after the hub has shut
// down. It fails if the Config is not valid. It does not call the server.
func New(client rueidis.Client, c Config) (*Broker, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	prefix := "{rohrpost:" + c.App + "}:"
	return &Broker{client: client, config: c, prefix: prefix, keys: []string{prefix + "run:"}, followed: make(map[string]bool)}, nil
}

// Publish implements broker.Broker. It takes one round trip, and another one where it meets
// an era.
func (b *Broker) Publish(ctx context.Context, batches []broker.Batch) error {
	for {
		sent := b.known()
		args, refused := arguments(batches, sent)
		if len(args) == 0 {
			return refused
		}
		moved, err := b.publish(ctx, sent, args)
		if err != nil {
			return err
		}
		if !moved {
			return refused
		}
	}
}

// arguments returns those of publish.lua for batches, up to the first one that is refused.
func arguments(batches []broker.Batch, at place) (args []string, refused error) {
	batches, refused = broker.Untried(batches, at.since)
	for i := range batches {
		batch := &batches[i]
		if err := refuse(batch); err != nil {
			return args, err
		}
		args = append(args, batch.Source, fmt.Sprintf("%020d", batch.Number), strconv.Itoa(len(batch.Messages)))
		for j := range batch.Messages {
			m := &batch.Messages[j]
			args = append(args, m.Stream, rueidis.BinaryString(m.Payload))
		}
	}
	return args, refused
}

// command returns the command that publishes.
func (b *Broker) command() string {
	if b.config.ShardedPubSub {
		return "SPUBLISH"
	}
	return "PUBLISH"
}

// refuse returns the error for a batch that Redis does not take.
func refuse(batch *broker.Batch) error {
	var err error
	if len(batch.Messages) > maxBatch {
		err = fmt.Errorf("redisbroker: the batch has %d messages, at most %d are taken", len(batch.Messages), maxBatch)
	}
	for i := range batch.Messages {
		if n := len(batch.Messages[i].Payload); n > maxPayload {
			err = fmt.Errorf("redisbroker: a payload has %d bytes, at most %d are taken", n, maxPayload)
		}
	}
	if err == nil {
		return nil
	}
	return &broker.RefusedError{Source: batch.Source, Number: batch.Number, Err: err}
}

// explain adds the remedy to an error that an operator must end.
func explain(err error) error {
	answer, ok := rueidis.IsRedisErr(err)
	switch {
	case !ok:
		return err
	case strings.HasPrefix(answer.Error(), "OOM"):
		return fmt.Errorf("%w: raise maxmemory, or choose a maxmemory-policy that evicts, such as allkeys-lru", err)
	case strings.Contains(answer.Error(), "MISCONF"):
		return fmt.Errorf("%w: make room on the disk of Redis, or turn off what it writes there (appendonly, save)", err)
	}
	return err
}

// Taken implements broker.Broker.
func (b *Broker) Taken(ctx context.Context, source string) (uint64, error) {
	text, err := b.client.Do(ctx, b.client.B().Get().Key(b.prefix+"n:"+source).Build()).ToString()
	if rueidis.IsRedisNil(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("redisbroker: read the number of a source: %w", err)
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("redisbroker: read the number of a source: %w", err)
	}
	return n, nil
}

// Follow implements broker.Broker.
func (b *Broker) Follow(ctx context.Context, streams []string) ([]broker.Position, error) {
	if len(streams) == 0 {
		return nil, nil
	}
	b.mu.Lock()
	for _, stream := range streams {
		b.followed[stream] = true
	}
	listener := b.listener
	b.mu.Unlock()
	if listener != nil {
		if err := b.subscribe(ctx, listener, streams); err != nil {
			return nil, fmt.Errorf("redisbroker: subscribe to streams: %w", err)
		}
	}
	args := append([]string{rand.Text(), milliseconds(b.config.KeepUnused)}, streams...)
	values, err := followScript.Exec(ctx, b.client, b.keys, args).AsStrSlice()
	if err != nil {
		return nil, fmt.Errorf("redisbroker: follow streams: %w", explain(err))
	}
	positions, err := parsePositions(values, len(streams))
	if err != nil {
		return nil, fmt.Errorf("redisbroker: follow streams: %w", err)
	}
	return positions, nil
}

// Unfollow implements broker.Broker.
func (b *Broker) Unfollow(ctx context.Context, streams []string) error {
	b.mu.Lock()
	var ended []string
	for _, stream := range streams {
		if b.followed[stream] {
			ended = append(ended, stream)
			delete(b.followed, stream)
		}
	}
	listener := b.listener
	b.mu.Unlock()
	if listener == nil || len(ended) == 0 {
		return nil
	}
	if err := b.unsubscribe(ctx, listener, ended); err != nil {
		return fmt.Errorf("redisbroker: unsubscribe from streams: %w", err)
	}
	return nil
}

// Read implements broker.Broker.
func (b *Broker) Read(ctx context.Context, stream string, after uint64, limit int) (broker.History, error) {
	args := []string{stream, "(" + strconv.FormatUint(after, 10) + "-0", strconv.Itoa(limit)}
	parts, err := readScript.Exec(ctx, b.client, b.keys, args).ToArray()
	if err != nil {
		return broker.History{}, fmt.Errorf("redisbroker: read a stream: %w", err)
	}
	h, err := parseHistory(stream, parts)
	if err != nil {
		return broker.History{}, fmt.Errorf("redisbroker: read a stream: %w", err)
	}
	return h, nil
}

// Positions implements broker.Broker. It lets the streams go on for Config.KeepUnused.
func (b *Broker) Positions(ctx context.Context, streams []string) ([]broker.Position, error) {
	if len(streams) == 0 {
		return nil, nil
	}
	positions, life, err := b.readPositions(ctx, streams)
	if err != nil || !b.hasLeft(life) {
		return positions, err
	}
	if _, err := b.publish(ctx, b.known(), nil); err != nil {
		return nil, err
	}
	positions, _, err = b.readPositions(ctx, streams)
	return positions, err
}

// readPositions also returns the life of the server.
func (b *Broker) readPositions(ctx context.Context, streams []string) (positions []broker.Position, life string, err error) {
	args := append([]string{milliseconds(b.config.KeepUnused)}, streams...)
	values, err := positionsScript.Exec(ctx, b.client, b.keys, args).AsStrSlice()
	if err == nil && len(values) == 0 {
		err = errAnswer
	}
	if err != nil {
		return nil, "", fmt.Errorf("redisbroker: read positions: %w", explain(err))
	}
	last := len(values) - 1
	positions, err = parsePositions(values[:last], len(streams))
	if err != nil {
		return nil, "", fmt.Errorf("redisbroker: read positions: %w", err)
	}
	return positions, values[last], nil
}

// Signal implements broker.Signaler.
func (b *Broker) Signal(ctx context.Context, messages []broker.Message) error {
	commands := make(rueidis.Commands, 0, len(messages))
	for i := range messages {
		m := &messages[i]
		commands = append(commands, b.client.B().Arbitrary(b.command()).Keys(b.channel(m.Stream)).Args(signalFrame(m.Payload)).Build())
	}
	var failed []error
	for _, result := range b.client.DoMulti(ctx, commands...) {
		failed = append(failed, result.Error())
	}
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("redisbroker: signal: %w", err)
	}
	return nil
}

// Limits implements broker.Limiter.
func (b *Broker) Limits() broker.Limits {
	l := broker.Limits{PayloadBytes: maxPayload, BatchMessages: maxBatch, Keep: -1}
	if b.config.MaxAge >= 0 && b.config.KeepUnused >= 0 {
		l.Keep = max(4*b.config.MaxAge, b.config.KeepUnused)
	}
	return l
}

// Renew implements broker.Renewer. It is needed after a restore that Redis does not tell,
// such as by commands.
func (b *Broker) Renew(ctx context.Context) error {
	if err := b.client.Do(ctx, b.client.B().Del().Key(b.keys...).Build()).Error(); err != nil {
		return fmt.Errorf("redisbroker: renew the epochs: %w", err)
	}
	return nil
}

func milliseconds(d time.Duration) string {
	if d < 0 {
		return "-1"
	}
	return strconv.FormatInt(d.Milliseconds(), 10)
}
