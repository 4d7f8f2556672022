// Package natsbroker lets the hubs of several processes share their messages through
// NATS 2.12 or later with JetStream: a single server, or a cluster. Messages are kept in
// JetStream, so that a page that was disconnected catches up with any of the processes.
//
//	nc, err := nats.Connect("127.0.0.1", nats.MaxReconnects(-1))
//	...
//	b, err := natsbroker.New(nc, natsbroker.Config{App: "shop"})
//	...
//	hub := rohrpost.NewHub(rohrpost.Config{Broker: b})
//
// A restart of a single server may lose messages that it has taken. All streams then get
// new epochs: every page loads its snapshot again.
package natsbroker

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rohrpost/rohrpost/broker"
)

const (
	// maxBatch is the number of messages in the largest batch. JetStream takes a thousand
	// messages as one, of which one is the number of the source.
	maxBatch = 999

	// overhead is what the largest message may have besides its payload, such as headers.
	overhead = 8 << 10

	// timeout is the time that a call may take whose context has no deadline.
	timeout = 5 * time.Second

	// remember is how long a source is remembered at least after its last batch.
	remember = time.Hour
)

// Config configures a Broker.
type Config struct {
	// App is the name of the program, of letters, digits, "_", "." and "-". All subjects
	// begin with "rohrpost.App", so that several programs can share a server. All processes
	// of a program have the same. Required.
	App string

	// MaxMessages is the number of messages kept of a group. A negative one means no limit.
	// Defaults to 1,000.
	MaxMessages int

	// MaxBytes is the number of bytes that JetStream reserves for the program, and keeps at
	// most; then it drops the oldest messages. A negative one means no limit. Defaults to
	// 256 MiB.
	MaxBytes int64

	// MaxAge is how long a message is kept, and the history of a group after its last
	// member at any hub has left. It is an hour at least: JetStream also remembers for this
	// long what it has taken. Defaults to an hour.
	MaxAge time.Duration

	// Replicas is the number of servers of a cluster that keep the messages, more than one.
	// Defaults to 3 in a cluster. A single server needs 1, which is the default there.
	Replicas int

	// Files makes a single server keep the messages in files, which is slower than memory,
	// where they need no more space than Config.MaxBytes. They do not survive a restart in
	// either: the server may not have written the latest ones. A cluster always keeps them
	// in files, since they survive the end of all its servers. Defaults to false.
	Files bool
}

var appGrammar = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,100}$`)

func (c Config) withDefaults() (Config, error) {
	if !appGrammar.MatchString(c.App) {
		return c, fmt.Errorf("natsbroker: Config.App is %q: name the program by 1 to 100 letters, digits, \"_\", \".\" and \"-\"", c.App)
	}
	if c.MaxMessages == 0 {
		c.MaxMessages = 1000
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 256 << 20
	}
	if c.MaxAge == 0 {
		c.MaxAge = remember
	}
	if c.MaxAge < remember {
		return c, fmt.Errorf("natsbroker: Config.MaxAge is %v: it must be an hour at least", c.MaxAge)
	}
	return c, nil
}

var (
	_ broker.Broker   = (*Broker)(nil)
	_ broker.Signaler = (*Broker)(nil)
	_ broker.Limiter  = (*Broker)(nil)
	_ broker.Migrator = (*Broker)(nil)
	_ broker.Renewer  = (*Broker)(nil)
)

// Broker is a broker.Broker on NATS for one hub. It has no goroutine between calls. Make
// one with New. All its methods may be called concurrently.
type Broker struct {
	nc       *nats.Conn
	js       jetstream.JetStream
	config   Config
	subjects subjects
	payload  int // the size of the largest payload

	preparing sync.Mutex // held while the Broker looks for its era

	mu       sync.Mutex // guards what follows
	era      era
	followed map[string]bool
	listener *listener       // of Run; nil: it is not running
	sources  map[string]last // what is known to be taken
}

// New returns a Broker that uses a connection, which the caller closes after the hub has
// shut down. Connect with nats.MaxReconnects(-1): a connection that was given up is not
// made again. New fails if the Config is not valid, or if the server is older than 2.12. If
// the connection is not there yet, all calls fail until it is.
func New(nc *nats.Conn, c Config) (*Broker, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	if nc == nil {
		return nil, errors.New("natsbroker: the connection is nil")
	}
	if nc.IsConnected() {
		if err := checkVersion(nc.ConnectedServerVersion()); err != nil {
			return nil, err
		}
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("natsbroker: use JetStream: %w", err)
	}
	b := &Broker{
		nc: nc, js: js, config: c, subjects: newSubjects(c.App), payload: 1<<20 - overhead,
		followed: make(map[string]bool), sources: make(map[string]last),
	}
	if n := int(nc.MaxPayload()); n > 0 {
		b.payload = max(n-overhead, n/2)
	}
	return b, nil
}

// checkVersion returns an error that names the version of a server that is too old.
func checkVersion(version string) error {
	var major, minor, patch int
	if _, err := fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &patch); err != nil {
		return fmt.Errorf("natsbroker: the server has version %q, which is not known: it must be 2.12 or later", version)
	}
	if major < 2 || major == 2 && minor < 12 {
		return fmt.Errorf("natsbroker: the server has version %s: it must be 2.12 or later, for atomic batches", version)
	}
	if major == 2 && minor == 12 && patch == 1 {
		return fmt.Errorf("natsbroker: the server has version %s, which hangs under concurrent reads: use a later one", version)
	}
	return nil
}

// Limits implements broker.Limiter. The size of a payload is that of the server, which has
// 1 MiB by default.
func (b *Broker) Limits() broker.Limits {
	return broker.Limits{PayloadBytes: b.payload, BatchMessages: maxBatch, Keep: b.config.MaxAge}
}

// Migrate implements broker.Migrator. It makes the stream of the program in JetStream.
func (b *Broker) Migrate(ctx context.Context) error {
	return b.call(ctx, "migrate", func(ctx context.Context) error {
		_, err := b.current(ctx)
		return err
	})
}

// call bounds what a method asks the server. It also ends with the connection, since what
// was asked on that gets no answer any more.
func (b *Broker) call(ctx context.Context, what string, do func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ctx, disconnect := context.WithCancelCause(ctx)
	defer disconnect(nil)
	lost, watched := b.nc.StatusChanged(nats.DISCONNECTED, nats.RECONNECTING, nats.CLOSED), make(chan struct{})
	go func() {
		defer close(watched)
		if _, ok := <-lost; ok {
			disconnect(errDisconnected)
		}
	}()
	err := do(ctx)
	if errors.Is(context.Cause(ctx), errDisconnected) && errors.Is(err, context.Canceled) {
		err = errDisconnected
	}
	b.nc.RemoveStatusListener(lost) // closes it
	<-watched
	if err != nil {
		return fmt.Errorf("natsbroker: %s: %w", what, explain(err))
	}
	return nil
}
