package rohrpost

import "context"

// Broker carries messages between the hubs of a program, each in a process of its
// own perhaps, and keeps the latest of them, so that a connection that was away
// can be told what it has missed. Memory, the default, is the one for a single
// process. Package brokertest shows whether another keeps this contract.
//
// What it carries lies in streams: a group is one, and one more serves what hubs
// tell each other. The key of a stream is 1 to 250 bytes of printable ASCII and
// means nothing to a broker. A stream begins, with a random epoch that is never
// empty and never comes back, when somebody first asks for it; it may end some
// time after the last hub has unsubscribed, or whenever what it kept is lost, be it
// in part. Within an epoch its messages have the offsets 1, 2, 3 and so on.
//
// All types here belong to the standard library, or have no name of their own: an
// adapter writes them down itself and does not import this package. All methods may
// be called concurrently. An error means that nobody knows what has happened; the
// hub tries again.
type Broker interface {
	// Run delivers the messages of the streams that this hub is subscribed to, until
	// ctx ends, and returns why it ended. It is called again after an error; what was
	// lost meanwhile is found by Positions. It calls deliver with what was published
	// together, the messages of a stream in their order. Batches that have no stream
	// in common may be delivered at the same time, and messages of other streams too:
	// the hub passes over them. deliver waits for nothing and calls no method of the
	// broker. Neither side changes the payload any more.
	Run(ctx context.Context, deliver func(batch []BrokerMessage)) error

	// Publish appends messages to their streams, kept together and in order. A
	// message whose ID the stream still keeps is not appended again. A message with a
	// given Epoch and Offset is appended if it is the next one, begins a new epoch
	// if the stream has another one, and is dropped if the stream has that offset
	// already; one that would leave a hole is an error. What nobody has asked for,
	// there is no stream, need not be kept nor delivered.
	Publish(ctx context.Context, batch []BrokerMessage) error

	// Subscribe lets Run deliver a stream, and returns the position after which it
	// does. Calls are counted: each needs an Unsubscribe of its own. An empty epoch
	// says that the broker keeps nothing and gives no positions.
	Subscribe(ctx context.Context, stream string) (epoch string, offset uint64, err error)

	// Unsubscribe takes back one Subscribe.
	Unsubscribe(ctx context.Context, stream string) error

	// History returns the position of a stream, and of the messages after the given
	// offset those that it still has, oldest first and at most limit. The epoch is
	// empty if there is no such stream.
	History(ctx context.Context, stream string, after uint64, limit int) (epoch string, offset uint64, messages []BrokerMessage, err error)

	// Positions returns the positions of streams, in their order; the epoch of one
	// that does not exist is empty.
	Positions(ctx context.Context, streams []string) (epochs []string, offsets []uint64, err error)
}

// BrokerMessage is one message in a stream. It is an alias of a type without a
// name, which other packages can write down as well.
type BrokerMessage = struct {
	Stream  string // the key
	ID      string // Tells the same message when it is published again. Defaults to none.
	Payload []byte // at most some megabytes; the broker does not look at it
	Epoch   string // set by the broker, or given with Offset
	Offset  uint64 // set by the broker, or given with Epoch
	Plain   bool   // has no offset and is not kept, but delivered in order with the others
}
