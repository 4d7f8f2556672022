package brokertest

import (
	"testing"
	"time"

	"github.com/rohrpost/rohrpost/broker"
)

// Config configures the tests of one implementation. Run calls the functions from
// the goroutine of the subtest, so they may call t.Fatal.
type Config struct {
	// Open returns a broker with an empty store and closes it by t.Cleanup. Each
	// subtest calls it at least once. A broker that keeps messages must keep at least
	// the latest 200 of a stream, of 100 bytes each. Required.
	Open func(t *testing.T) broker.Broker

	// Peer returns a broker for another hub, with the same store as b, and closes it by
	// t.Cleanup. Defaults to nil, which skips the clauses about several hubs.
	Peer func(t *testing.T, b broker.Broker) broker.Broker

	// EndStream ends a stream without subscribers, as the broker does after some time.
	// It returns when the stream has ended. Defaults to nil, which skips the clause
	// about streams that begin again.
	EndStream func(t *testing.T, b broker.Broker, stream string)

	// DeliversUnsubscribed allows Run to deliver messages of streams to which its hub is
	// not subscribed. Defaults to false: such a delivery fails the test.
	DeliversUnsubscribed bool

	// DeliversConcurrently allows Run to call deliver concurrently, with batches that
	// have no stream in common. Defaults to false: a concurrent call fails the test.
	DeliversConcurrently bool

	// Timeout limits how long a test waits for messages, and for Run to return.
	// Defaults to 10 seconds.
	Timeout time.Duration
}

// clause is one promise of the contract, and its test.
type clause struct {
	name string
	test func(t *testing.T, c Config)
}

// Run tests a broker, one subtest for each clause of the contract. It skips the
// clauses about positions and history if the broker gives no positions. It fails t
// at once if c.Open is nil. The subtests run one after the other. Several calls of Run
// may run concurrently, each with its own t.
func Run(t *testing.T, c Config) {
	t.Helper()
	if c.Open == nil {
		t.Fatal("brokertest: Config.Open is nil")
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	for _, clauses := range [][]clause{streamClauses, publishClauses, historyClauses, deliveryClauses, hubClauses} {
		for _, clause := range clauses {
			t.Run(clause.name, func(t *testing.T) { clause.test(t, c) })
		}
	}
}
