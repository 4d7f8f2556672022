// Package broker is the contract between hubs and an engine that carries messages
// between them. Adapters import this package and nothing else of the module;
// package brokertest shows whether they keep the contract.
//
// Later versions may add fields to the structs, and optional capabilities as further
// interfaces. A hub looks for those by type assertion, so that an adapter without
// them goes on to work.
package broker

import "context"

// Broker carries messages between the hubs of a program, which may run in several
// processes. It keeps the latest messages, so that a client that was disconnected
// can catch up. rohrpost.MemoryBroker, the default of a hub, serves one process.
//
// Messages lie in streams. Each group is a stream, and hubs use one more to control
// each other. The key of a stream is 1 to 250 bytes of printable ASCII and means
// nothing to a broker. A stream begins when a hub first asks for it, with a random
// epoch that is never empty and never used again. It may end some time after the
// last hub has unsubscribed, or whenever the engine loses some or all of its
// messages. Within an epoch the messages have the offsets 1, 2, 3 and so on.
//
// All methods may be called concurrently. After an error the outcome is unknown; the
// hub retries.
type Broker interface {
	// Run delivers the messages of the streams to which this hub is subscribed, until
	// ctx ends, and returns why it ended. The hub calls it again after an error, and
	// finds by Positions what was lost in between. Run calls deliver with the messages
	// that were published together, those of a stream in their order. It may deliver
	// batches that have no stream in common at the same time, and messages of other
	// streams, which the hub ignores. deliver neither waits nor calls a method of the
	// broker. Neither side changes a payload afterwards.
	Run(ctx context.Context, deliver func(batch []Message)) error

	// Publish appends messages to their streams, together and in order. The broker does
	// not append a message again while the stream still keeps one with the same ID. A
	// message with a Position is appended if it is the next one. It begins a new epoch
	// if the stream has another one. It is dropped if the stream has its offset
	// already, and is an error if it would leave a hole. A broker may drop messages of
	// streams that no hub has asked for.
	Publish(ctx context.Context, batch []Message) error

	// Subscribe makes Run deliver a stream, and returns the position after which it
	// does. The broker counts the calls: each needs an Unsubscribe of its own. The zero
	// Position says that the broker keeps no messages and gives no positions.
	Subscribe(ctx context.Context, stream string) (Position, error)

	// Unsubscribe takes back one Subscribe.
	Unsubscribe(ctx context.Context, stream string) error

	// History returns the position of a stream, and those messages after the given
	// offset that the broker still has: the oldest first, limit at most. The position
	// is zero if the stream does not exist.
	History(ctx context.Context, stream string, after uint64, limit int) (History, error)

	// Positions returns the positions of streams, in their order. The position of a
	// stream that does not exist is zero.
	Positions(ctx context.Context, streams []string) ([]Position, error)
}

// Position is a place in a stream, and so in the history of a group: that of a
// snapshot, or of a message, with everything before it. It grants no access.
type Position struct {
	Epoch  string `json:"epoch"`  // another one whenever a stream begins anew
	Offset uint64 `json:"offset"` // counts the messages of an epoch, from 1
}

// Message is one message in a stream.
type Message struct {
	Stream  string // the key
	ID      string // identifies the message when it is published again; defaults to none
	Payload []byte // some megabytes at most; the broker does not look at it

	// Position is set by the broker, or given by the publisher.
	Position

	// Plain says that the message gets no position and is not kept. The broker delivers
	// it in order with the others. Defaults to false.
	Plain bool
}

// History is an excerpt of a stream at one moment.
type History struct {
	Position Position  // of the latest message
	Messages []Message // the oldest first
}
