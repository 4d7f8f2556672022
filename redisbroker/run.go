package redisbroker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/rueidis"
	"github.com/rohrpost/rohrpost/broker"
)

// maxSubscribed is the number of channels in one command.
const maxSubscribed = 1000

var (
	errRunning = errors.New("redisbroker: this Broker serves a hub already: make one for each hub")
	errLost    = errors.New("redisbroker: a former master has lost messages: all groups begin anew")
	errNode    = errors.New("redisbroker: the server has ended the subscriptions: another node of the cluster has the keys now")
)

// Run implements broker.Broker. It listens on a connection of its own. Pub/sub only
// carries messages: what it loses the hub reads from the streams.
func (b *Broker) Run(ctx context.Context, ready func(), deliver func(batch []broker.Message)) error {
	listener, release := b.client.Dedicate()
	defer release()
	r := &receiver{prefix: b.prefix + "c:", end: b.prefix + "end", deliver: deliver, ends: make(chan error, 1)}
	ended := listener.SetPubSubHooks(rueidis.PubSubHooks{OnMessage: r.receive, OnSubscription: r.subscription})
	defer r.stop()
	streams, err := b.listen(listener)
	if err != nil {
		return err
	}
	defer b.unlisten()
	if err := b.subscribeAll(ctx, listener, streams); err != nil {
		return fmt.Errorf("redisbroker: subscribe: %w", err)
	}
	ready()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-ended:
		return fmt.Errorf("redisbroker: listen: %w", err)
	case err := <-r.ends:
		return err
	}
}

// listen makes Follow and Unfollow use a connection, and returns what is followed by then.
func (b *Broker) listen(listener rueidis.DedicatedClient) (streams []string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.listener != nil {
		return nil, errRunning
	}
	b.listener = listener
	for stream := range b.followed {
		streams = append(streams, stream)
	}
	return streams, nil
}

func (b *Broker) unlisten() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.listener = nil
}

// channel returns the channel of a stream.
func (b *Broker) channel(stream string) string { return b.prefix + "c:" + stream }

func (b *Broker) subscribeAll(ctx context.Context, listener rueidis.DedicatedClient, streams []string) error {
	if err := b.change(ctx, listener, "SUBSCRIBE", []string{b.prefix + "end"}); err != nil {
		return err
	}
	return b.subscribe(ctx, listener, streams)
}

// subscribe returns when the server has confirmed.
func (b *Broker) subscribe(ctx context.Context, listener rueidis.DedicatedClient, streams []string) error {
	return b.changeStreams(ctx, listener, "SUBSCRIBE", streams)
}

func (b *Broker) unsubscribe(ctx context.Context, listener rueidis.DedicatedClient, streams []string) error {
	return b.changeStreams(ctx, listener, "UNSUBSCRIBE", streams)
}

func (b *Broker) changeStreams(ctx context.Context, listener rueidis.DedicatedClient, command string, streams []string) error {
	for some := range slices.Chunk(streams, maxSubscribed) {
		channels := make([]string, len(some))
		for i, stream := range some {
			channels[i] = b.channel(stream)
		}
		if err := b.change(ctx, listener, command, channels); err != nil {
			return err
		}
	}
	return nil
}

func (b *Broker) change(ctx context.Context, listener rueidis.DedicatedClient, command string, channels []string) error {
	build := listener.B()
	switch {
	case command == "SUBSCRIBE" && b.config.ShardedPubSub:
		return listener.Do(ctx, build.Ssubscribe().Channel(channels...).Build()).Error()
	case command == "SUBSCRIBE":
		return listener.Do(ctx, build.Subscribe().Channel(channels...).Build()).Error()
	case b.config.ShardedPubSub:
		return listener.Do(ctx, build.Sunsubscribe().Channel(channels...).Build()).Error()
	}
	return listener.Do(ctx, build.Unsubscribe().Channel(channels...).Build()).Error()
}

// receiver makes batches of what comes over pub/sub. A script of the server publishes a
// batch without anything in between: the messages of each stream, and at last an end if
// they are of several streams.
type receiver struct {
	prefix, end string     // of the channels of streams; the channel of the ends
	ends        chan error // has one place: why Run is to end, though the connection stays

	mu      sync.Mutex // guards what follows, and delivering
	stopped bool
	deliver func(batch []broker.Message)
	tag     string // of the batch that has come in part
	parts   []part
}

// part is a message and its place in its batch.
type part struct {
	at      int
	message broker.Message
}

// stop returns when nothing is delivered any more.
func (r *receiver) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
}

// receive takes what came over a channel.
func (r *receiver) receive(m rueidis.PubSubMessage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return
	}
	if m.Channel == r.end {
		if r.flush(); m.Message == lostMark {
			r.fail(errLost)
		}
		return
	}
	stream, ok := strings.CutPrefix(m.Channel, r.prefix)
	if !ok {
		return
	}
	if payload, ok := strings.CutPrefix(m.Message, signalMark); ok {
		r.flush()
		r.deliver([]broker.Message{{Stream: stream, Payload: []byte(payload)}})
		return
	}
	f, err := parseFrame(stream, m.Message)
	if err != nil {
		return // of another version; the hub reads the stream
	}
	if f.tag != r.tag {
		r.flush()
	}
	r.tag, r.parts = f.tag, append(r.parts, f.parts...)
	if !f.more {
		r.flush()
	}
}

// subscription takes what the server says about a channel. Nobody leaves that of the ends:
// the server does it where another node has got the slot of sharded channels.
func (r *receiver) subscription(s rueidis.PubSubSubscription) {
	if s.Channel == r.end && strings.HasSuffix(s.Kind, "unsubscribe") {
		r.fail(errNode)
	}
}

// fail lets Run end.
func (r *receiver) fail(err error) {
	select {
	case r.ends <- err:
	default:
	}
}

// flush delivers the batch that has come.
func (r *receiver) flush() {
	if len(r.parts) == 0 {
		return
	}
	slices.SortFunc(r.parts, func(a, b part) int { return cmp.Compare(a.at, b.at) })
	batch := make([]broker.Message, len(r.parts))
	for i := range r.parts {
		batch[i] = r.parts[i].message
	}
	r.tag, r.parts = "", nil
	r.deliver(batch)
}

// lostMark is what publish.lua publishes to the channel of the ends when it ends an era.
const lostMark = "!"

// signalMark begins a signal. No other frame begins with it.
const signalMark = "! "

func signalFrame(payload []byte) string { return signalMark + string(payload) }

// frame is what publish.lua publishes to the channel of a stream.
type frame struct {
	tag   string
	more  bool // other streams or an end follow
	parts []part
}

func parseFrame(stream, text string) (f frame, err error) {
	s := scanner{rest: text}
	length, more := s.number(), s.number()
	f.tag, f.more = s.bytes(length), more == 1
	s.bytes(1)
	epoch := s.word()
	for s.rest != "" && !s.failed {
		at, offset, size := s.number(), s.number(), s.number()
		payload := s.bytes(size)
		f.parts = append(f.parts, part{int(at), message(stream, broker.Position{Epoch: epoch, Offset: offset}, []byte(payload))})
	}
	if s.failed || len(f.parts) == 0 {
		return frame{}, errAnswer
	}
	return f, nil
}

// scanner reads words that end with a space, and bytes. After it has failed it returns
// nothing more.
type scanner struct {
	rest   string
	failed bool
}

func (s *scanner) word() string {
	word, rest, ok := strings.Cut(s.rest, " ")
	if !ok || s.failed {
		s.failed = true
		return ""
	}
	s.rest = rest
	return word
}

func (s *scanner) number() uint64 {
	n, err := strconv.ParseUint(s.word(), 10, 63)
	s.failed = s.failed || err != nil
	return n
}

func (s *scanner) bytes(n uint64) string {
	if s.failed || n > uint64(len(s.rest)) {
		s.failed = true
		return ""
	}
	text := s.rest[:n]
	s.rest = s.rest[n:]
	return text
}
