package brokertest

import (
	"context"
	"testing"
	"time"
)

// Message is rohrpost.BrokerMessage, written down once more.
type Message = struct {
	Stream  string
	ID      string
	Payload []byte
	Epoch   string
	Offset  uint64
	Plain   bool
}

// Broker has the methods of rohrpost.Broker; what they promise is said there.
type Broker interface {
	Run(ctx context.Context, deliver func(batch []Message)) error
	Publish(ctx context.Context, batch []Message) error
	Subscribe(ctx context.Context, stream string) (epoch string, offset uint64, err error)
	Unsubscribe(ctx context.Context, stream string) error
	History(ctx context.Context, stream string, after uint64, limit int) (epoch string, offset uint64, messages []Message, err error)
	Positions(ctx context.Context, streams []string) (epochs []string, offsets []uint64, err error)
}

// Config says how the tests get at brokers.
type Config struct {
	// Open returns a broker with an empty store. If it keeps anything, it keeps
	// the latest 200 messages of a stream at least, of 100 bytes each. It is called
	// once or more for each subtest, and closes what it opens by t.Cleanup. Required.
	Open func(t *testing.T) Broker

	// Peer returns the broker of another hub, with the store of b.
	// Defaults to the clauses about several hubs being skipped.
	Peer func(t *testing.T, b Broker) Broker

	// End makes a stream that nobody is subscribed to end, as time would.
	// Defaults to the clause about streams that begin again being skipped.
	End func(t *testing.T, b Broker, stream string)

	// DeliversMore says that deliver also gets messages of streams that its hub is not
	// subscribed to any more, or another hub is, which a hub passes over.
	// Defaults to false: the broker is held to deliver no more than it must.
	DeliversMore bool

	// Concurrent says that deliver is called concurrently with batches that have no
	// stream in common. Defaults to false: it is held to deliver one at a time.
	Concurrent bool

	// Patience is the time that a message has to arrive, and Run to end.
	// Defaults to 10 seconds.
	Patience time.Duration
}

// clause is one promise and how it is tested.
type clause struct {
	name string
	test func(t *testing.T, c Config)
}

// Run tests a broker. Clauses about positions and history are skipped for one
// that gives none.
func Run(t *testing.T, c Config) {
	t.Helper()
	if c.Open == nil {
		t.Fatal("brokertest: Config.Open is nil")
	}
	if c.Patience == 0 {
		c.Patience = 10 * time.Second
	}
	for _, clauses := range [][]clause{streamClauses, publishClauses, historyClauses, deliveryClauses, hubClauses} {
		for _, clause := range clauses {
			t.Run(clause.name, func(t *testing.T) { clause.test(t, c) })
		}
	}
}
