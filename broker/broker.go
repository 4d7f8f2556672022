// Package broker is the contract between hubs and an engine that carries messages
// between them. Adapters import this package and nothing else of the module;
// package brokertest shows whether they keep the contract.
//
// Later versions may add fields to the structs, and optional capabilities as further
// interfaces, such as those in capabilities.go. A hub looks for those by type assertion,
// so that an adapter without them goes on to work.
package broker

import (
	"context"
	"time"
)

// Broker carries messages between the hubs of a program, which may run in several
// processes. It keeps the latest messages, so that a client that was disconnected can
// catch up, and a hub that has missed something too. A value of Broker serves one hub.
//
// Messages lie in streams. Each group is a stream, and hubs use some more to tell each
// other what to do. The key of a stream is 1 to 250 bytes of printable ASCII, which a
// broker compares byte by byte. A stream begins, with a new epoch, when a hub follows it
// for the first time. It may end some time after the last hub has stopped following it,
// or whenever the engine loses some or all of its messages.
//
// All methods may be called concurrently, and all but Run without a call of Run: the hub of
// a process that only publishes never calls it. After an error the outcome is unknown, unless
// the error is ErrRefused; the hub calls again.
type Broker interface {
	// Publish appends the messages of batches to their streams, each batch whole or not at
	// all, in order. A source has its own numbers: the broker drops a batch, without an
	// error, if its number is not greater than the last one that it has taken from the
	// source. The numbers of a source may skip. The broker remembers the last one for an
	// hour at least. A batch that it will never take is a *RefusedError: it has taken the
	// batches before that one, and none after it. One that was Tried in an epoch that has
	// ended is such a batch too, by ErrTried, where the broker can tell: see Untried. A broker may drop
	// messages of streams that no hub has followed. It neither changes nor keeps the slices; it may keep the
	// payloads, which the caller does not change afterwards.
	Publish(ctx context.Context, batches []Batch) error

	// Taken returns the number of the last batch that the broker has taken from a source,
	// 0 if it knows of none.
	Taken(ctx context.Context, source string) (number uint64, err error)

	// Follow makes Run deliver streams, and returns their positions, in their order. What
	// is published after the position of a stream is delivered; what was published before
	// it may be. The followed streams are a set: a stream that is followed already stays
	// so, and one Unfollow ends that.
	Follow(ctx context.Context, streams []string) ([]Position, error)

	// Unfollow ends Follow. Run may still deliver what was published before.
	Unfollow(ctx context.Context, streams []string) error

	// Read returns the position of a stream, and those messages after an offset that the
	// broker still has: the oldest first, limit at most. Both are of one moment. The
	// position is zero if the stream does not exist.
	Read(ctx context.Context, stream string, after uint64, limit int) (History, error)

	// Positions returns the positions of streams, in their order. The position of a
	// stream that does not exist is zero.
	Positions(ctx context.Context, streams []string) ([]Position, error)

	// Run delivers the messages of the followed streams until ctx ends, and returns why it
	// ended. It calls ready once, when it listens to all that is followed: what is
	// published later is delivered. From then on the hub compares positions to find what
	// was lost before. After an error the hub calls Run again. There is one call at a time.
	//
	// Run calls deliver with messages that were published together: those of a batch that
	// lie in followed streams, in their order. It delivers the messages of a stream in
	// their order, each once as far as it can. It may deliver batches that have no stream
	// in common at the same time, and messages of streams that the hub does not follow,
	// which the hub ignores. deliver does not wait, and calls no method of the broker.
	// Neither side changes a payload afterwards.
	Run(ctx context.Context, ready func(), deliver func(batch []Message)) error
}

// Position is a place in a stream, and so in the history of a group: that of a
// snapshot, or of a message, with everything before it. It grants no access. Positions
// of two epochs have no order. Whenever messages that the broker has taken may be lost,
// such as after its engine was restored from a copy, it gives the streams new epochs
// before it answers anything else.
type Position struct {
	Epoch  string `json:"epoch"`  // never empty, and never used again for the stream
	Offset uint64 `json:"offset"` // goes up within an epoch, and may skip; 0 at its beginning
}

// Message is one message in a stream.
type Message struct {
	Stream  string // the key
	Payload []byte // the broker does not look at it; an empty one only moves the position

	// Position is set by the broker. That of a signal is zero.
	Position

	// Prev is the offset of the message before it in the stream, 0 for the first one of an
	// epoch. It is set by the broker. By it a hub sees that messages are missing.
	Prev uint64
}

// Batch holds messages that belong together, such as the changes of one commit.
type Batch struct {
	Source   string    // who numbers the batch: 1 to 100 bytes of printable ASCII, a new name for each life
	Number   uint64    // goes up within the source, from 1
	Messages []Message // with Stream and Payload

	// Tried is when the hub has called with the batch for the first time, where the outcome is
	// unknown. Zero stands for a first call, and for a batch that may be delivered twice.
	Tried time.Time
}

// History is an excerpt of a stream at one moment.
type History struct {
	Position Position  // of the latest message
	Messages []Message // the oldest first
}
