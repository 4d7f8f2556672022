package brokertest

import (
	"slices"
	"testing"
	"time"

	"github.com/rohrpost/rohrpost/broker"
)

// Config configures the tests of one implementation. Run calls the functions from
// the goroutine of the subtest, so they may call t.Fatal.
type Config struct {
	// Open returns a broker with an empty store and closes it by t.Cleanup. Each
	// subtest calls it at least once. The broker must keep at least the latest 200
	// messages of a stream, of 100 bytes each. Required.
	Open func(t *testing.T) broker.Broker

	// Peer returns a broker for another hub, with the same store as b, and closes it by
	// t.Cleanup. Defaults to nil, which skips the clauses about several hubs.
	Peer func(t *testing.T, b broker.Broker) broker.Broker

	// EndStream ends a stream that no hub follows, as the broker does after some time.
	// It returns when the stream has ended. Defaults to nil, which skips the clause
	// about streams that begin again.
	EndStream func(t *testing.T, b broker.Broker, stream string)

	// Restore makes a copy of what the engine keeps, calls meanwhile, and puts the copy
	// back, as an operator or a crash does. It returns when b works again. Defaults to nil,
	// which skips the clause about an engine that has gone back in time.
	Restore func(t *testing.T, b broker.Broker, meanwhile func())

	// Poison returns messages that b refuses for good, as one batch. Defaults to a message
	// that is larger than the limit of a broker.Limiter; without one, the clauses about
	// refused batches are skipped.
	Poison func(t *testing.T, b broker.Broker) []broker.Message

	// DeliversUnfollowed allows Run to deliver messages of streams that its hub does not
	// follow. Defaults to false: such a delivery fails the test.
	DeliversUnfollowed bool

	// DeliversConcurrently allows Run to call deliver concurrently, with batches that
	// have no stream in common. Defaults to false: a concurrent call fails the test.
	DeliversConcurrently bool

	// TakesTried allows Publish to take a batch that was Tried in an epoch that has ended:
	// clients then may get it twice. Defaults to false: such a batch fails the test.
	TakesTried bool

	// Patience limits how long a test waits for messages, and for Run to return. A test
	// waits ten times as long for any other call to return. Defaults to 2 seconds.
	Patience time.Duration
}

// clause is one promise of the contract, and its test.
type clause struct {
	name string
	test func(t *testing.T, c Config)
}

// Run tests a broker, one subtest for each clause of the contract. It fails t at once if
// c.Open is nil. The subtests run one after the other. Several calls of Run may run
// concurrently, each with its own t. A broker that panics in a call of a test fails the
// test.
func Run(t *testing.T, c Config) {
	t.Helper()
	if c.Open == nil {
		t.Fatal("brokertest: Config.Open is nil")
	}
	if c.Patience == 0 {
		c.Patience = 2 * time.Second
	}
	for _, clause := range slices.Concat(streamClauses, publishClauses, numberClauses, readClauses, deliveryClauses, hubClauses) {
		t.Run(clause.name, func(t *testing.T) { clause.test(t, c) })
	}
}
