// Package redisexample is a broker on Redis, to show what an adapter needs. It passes
// brokertest, with one Redis server; it knows no clusters and no failovers.
package redisexample

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/redis/go-redis/v9"
	"github.com/rohrpost/rohrpost/broker"
)

const (
	maxPayload  = 8 << 20
	maxMessages = 1000 // of a stream
	keepSeconds = 300  // a stream that nobody follows or publishes to
)

// Broker implements broker.Broker. All its keys begin with the name of the application.
type Broker struct {
	redis redis.UniversalClient
	app   string

	mu       sync.Mutex
	followed map[string]bool // by this hub
}

var (
	_ broker.Signaler = (*Broker)(nil)
	_ broker.Limiter  = (*Broker)(nil)
)

// New returns a Broker for one hub.
func New(client redis.UniversalClient, app string) (*Broker, error) {
	if app == "" {
		return nil, errors.New("redisexample: the application has no name: programs on one server would meet")
	}
	return &Broker{redis: client, app: app, followed: make(map[string]bool)}, nil
}

// The scripts do everything that must happen at one moment. Each begins with common.lua:
// the server says which run of it this is, and a stream of an earlier run does not exist,
// since a restart may have lost some of its messages.
var (
	//go:embed common.lua
	common string
	//go:embed publish.lua
	publishLua string
	//go:embed follow.lua
	followLua string
	//go:embed read.lua
	readLua string

	publishScript = redis.NewScript(common + publishLua)
	followScript  = redis.NewScript(common + followLua)
	readScript    = redis.NewScript(common + readLua)
)

func (b *Broker) run(ctx context.Context, s *redis.Script, arguments ...any) ([]any, error) {
	found, err := s.Run(ctx, b.redis, []string{b.app}, arguments...).Slice()
	if err != nil {
		return nil, fmt.Errorf("redisexample: %w", err)
	}
	return found, nil
}

// Publish sends the batches before the first one that Redis would not take.
func (b *Broker) Publish(ctx context.Context, batches []broker.Batch) error {
	arguments := []any{maxMessages, keepSeconds}
	var refused error
	for _, batch := range batches {
		if refused = check(batch); refused != nil {
			break
		}
		// Lua counts in floating point: numbers are compared as texts of one length.
		arguments = append(arguments, batch.Source, fmt.Sprintf("%020d", batch.Number), len(batch.Messages))
		for _, m := range batch.Messages {
			arguments = append(arguments, m.Stream, m.Payload)
		}
	}
	if _, err := b.run(ctx, publishScript, arguments...); err != nil {
		return err
	}
	return refused
}

func check(batch broker.Batch) error {
	for _, m := range batch.Messages {
		if len(m.Payload) > maxPayload {
			return &broker.RefusedError{Source: batch.Source, Number: batch.Number, Err: errors.New("a payload is larger than 8 MiB")}
		}
	}
	return nil
}

// Taken reads the number of a source.
func (b *Broker) Taken(ctx context.Context, source string) (uint64, error) {
	text, err := b.redis.Get(ctx, b.app+":n:"+source).Result()
	if errors.Is(err, redis.Nil) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("redisexample: %w", err)
	}
	return strconv.ParseUint(text, 10, 64)
}

// Follow begins streams in Redis, and remembers that this hub wants their messages.
func (b *Broker) Follow(ctx context.Context, streams []string) ([]broker.Position, error) {
	b.mu.Lock()
	for _, stream := range streams {
		b.followed[stream] = true
	}
	b.mu.Unlock()
	return b.positions(ctx, rand.Text(), streams)
}

// Unfollow leaves the streams in Redis, where they expire.
func (b *Broker) Unfollow(_ context.Context, streams []string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, stream := range streams {
		delete(b.followed, stream)
	}
	return nil
}

// Positions asks for positions, and begins no stream. The hub asks every few seconds for
// those that it follows, which keeps them from expiring.
func (b *Broker) Positions(ctx context.Context, streams []string) ([]broker.Position, error) {
	return b.positions(ctx, "", streams)
}

func (b *Broker) positions(ctx context.Context, epoch string, streams []string) ([]broker.Position, error) {
	arguments := []any{keepSeconds, epoch}
	for _, stream := range streams {
		arguments = append(arguments, stream)
	}
	found, err := b.run(ctx, followScript, arguments...)
	if err == nil && len(found) != 2*len(streams) {
		err = errors.New("redisexample: another number of positions than asked for")
	}
	if err != nil {
		return nil, err
	}
	positions := make([]broker.Position, len(streams))
	for i := range positions {
		positions[i] = broker.Position{Epoch: found[2*i].(string), Offset: uint64(found[2*i+1].(int64))}
	}
	return positions, nil
}

// Read returns the position and the messages in one call.
func (b *Broker) Read(ctx context.Context, stream string, after uint64, limit int) (broker.History, error) {
	found, err := b.run(ctx, readScript, stream, min(after, 1<<53), limit)
	if err != nil || len(found) < 2 {
		return broker.History{}, err
	}
	h := broker.History{Position: broker.Position{Epoch: found[0].(string), Offset: uint64(found[1].(int64))}}
	for i := 2; i+1 < len(found); i += 2 {
		at := broker.Position{Epoch: h.Position.Epoch, Offset: uint64(found[i].(int64))}
		h.Messages = append(h.Messages, broker.Message{Stream: stream, Payload: []byte(found[i+1].(string)), Position: at, Prev: at.Offset - 1})
	}
	return h, nil
}

// Signal publishes messages that Redis does not keep.
func (b *Broker) Signal(ctx context.Context, messages []broker.Message) error {
	var packed []byte
	for _, m := range messages {
		for _, field := range [][]byte{[]byte(m.Stream), nil, []byte("0"), m.Payload} {
			packed = append(binary.BigEndian.AppendUint32(packed, uint32(len(field))), field...)
		}
	}
	return b.redis.Publish(ctx, b.app+":all", packed).Err()
}

// Limits tells the hub what to send, and how long it must remember what it has ordered.
func (b *Broker) Limits() broker.Limits {
	return broker.Limits{PayloadBytes: maxPayload, BatchMessages: 1000, Keep: 2 * keepSeconds * 1e9}
}

// Run listens on the one channel of the application. It returns when the connection is
// lost, since something may be lost with it: the hub calls again, and then looks for it.
func (b *Broker) Run(ctx context.Context, ready func(), deliver func(batch []broker.Message)) error {
	channel := b.redis.Subscribe(ctx, b.app+":all")
	defer context.AfterFunc(ctx, func() { _ = channel.Close() })() // Receive does not look at ctx
	defer func() { _ = channel.Close() }()
	if _, err := channel.Receive(ctx); err != nil { // the answer to SUBSCRIBE
		return fmt.Errorf("redisexample: %w", err)
	}
	ready()
	for {
		received, err := channel.Receive(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("redisexample: %w", err)
		}
		if m, ok := received.(*redis.Message); ok {
			if batch := b.wanted(unpack([]byte(m.Payload))); len(batch) > 0 {
				deliver(batch)
			}
		}
	}
}

// wanted returns the messages of the streams that the hub follows.
func (b *Broker) wanted(batch []broker.Message) (wanted []broker.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range batch {
		if b.followed[m.Stream] {
			wanted = append(wanted, m)
		}
	}
	return wanted
}

// unpack reads fields with their lengths before them: stream, epoch, offset, payload.
func unpack(packed []byte) (batch []broker.Message) {
	next := func() (field []byte) {
		if len(packed) < 4 || uint64(len(packed)) < 4+uint64(binary.BigEndian.Uint32(packed)) {
			packed = nil
			return nil
		}
		end := 4 + binary.BigEndian.Uint32(packed)
		field, packed = packed[4:end], packed[end:]
		return field
	}
	for len(packed) > 0 {
		m := broker.Message{Stream: string(next())}
		m.Epoch = string(next())
		m.Offset, _ = strconv.ParseUint(string(next()), 10, 64)
		m.Prev = max(m.Offset, 1) - 1
		m.Payload = next()
		batch = append(batch, m)
	}
	return batch
}
