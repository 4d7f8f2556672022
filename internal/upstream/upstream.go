// Package upstream is what stands between a hub and a broker: the publish queue,
// listening, and checking positions. A hub without a broker publishes to a history in
// its own memory.
package upstream

import (
	"context"
	"encoding/json"

	"github.com/rohrpost/rohrpost/broker"
)

// Upstream carries the messages of a hub to all hubs, and back. New makes one for a
// broker, NewLocal one for a hub alone. Its methods may be called concurrently.
type Upstream interface {
	// Publish hands on messages, together and in order. It does not wait. The batch belongs
	// to it from then on.
	Publish(batch []broker.Message)

	// Signal hands on a message that gets no position and is not kept. It does not wait.
	Signal(m broker.Message) error

	// Take publishes batches that another source has numbered. It returns when they are
	// taken.
	Take(ctx context.Context, batches []broker.Batch) error

	// Taken returns the number of the last batch that was taken of a source.
	Taken(ctx context.Context, source string) (uint64, error)

	// ResyncAll returns the messages that make all hubs publish a resync to their groups
	// that match a pattern.
	ResyncAll(pattern string, object json.RawMessage) ([]broker.Message, error)

	// Order tells the other hubs what the caller has done. It returns when the broker has
	// taken the order, and at once for a hub alone.
	Order(ctx context.Context, o Order) error

	// Shared reports whether a group may have members at other hubs.
	Shared() bool

	// HasHistory reports whether a group without members has a history that a client may
	// ask for. It does not know of the histories of a broker.
	HasHistory(group string) bool

	// Histories returns the groups that match and for which HasHistory holds.
	Histories(match func(group string) bool) []string

	// Follow follows the stream of a group, now or later, and then calls open with the
	// position after which its messages come. If open returns false, Follow is taken back.
	// While the broker does not answer, gone reports whether the group has ended meanwhile.
	Follow(group string, open func(at broker.Position) bool, gone func() bool)

	// Unfollow takes back Follow.
	Unfollow(group string)

	// History returns the position of a group and the messages after an offset. Their
	// payloads are those of Receiver.Deliver.
	History(ctx context.Context, group string, after uint64, limit int) (broker.History, error)

	// Outdated reports whether a position in a group, which now is at another one, may be
	// older than a resync that the history of the group does not show.
	Outdated(ctx context.Context, group string, since, at broker.Position) bool

	// Position returns the position of a group, which begins its history.
	Position(ctx context.Context, group string) (broker.Position, error)

	// Flush waits until everything is published, or returns the error of ctx.
	Flush(ctx context.Context) error

	// Close takes back what is followed, as far as ctx allows it to wait, and stops timers.
	Close(ctx context.Context)
}

// Receiver is the hub to which an Upstream belongs. It knows the groups and the
// format of their messages.
type Receiver interface {
	// Deliver hands messages to the members of their groups. The payloads are frames where
	// the history is the hub's own, else the JSON of changes. An empty one only moves the
	// position. The Upstream calls it under the locks of the streams concerned where the
	// history is the hub's own, else in the order of the broker.
	Deliver(batch []broker.Message)

	// Signal hands a frame to the members of a group.
	Signal(group string, frame []byte)

	// Start lets goroutines write what was delivered.
	Start()

	// Publish is Start for a publisher without locks, which may write a little itself. One of
	// the two follows each Deliver and Signal.
	Publish()

	// Check returns what is wrong with a message of a broker, to which other programs may
	// have published anything. A signal has no position.
	Check(m *broker.Message) error

	// Resync returns the message that tells a group to load its snapshot again. The
	// object holds the reason.
	Resync(group string, object json.RawMessage) (broker.Message, error)

	// Matching returns the groups with members or a history that match a pattern.
	Matching(pattern string) ([]string, error)

	// Matcher returns a function that reports whether a group matches a pattern.
	Matcher(pattern string) (match func(group string) bool, err error)

	// Obey does what another hub has ordered. It ignores orders of kinds that it does not
	// know. It may call user code, and so take long.
	Obey(ctx context.Context, o Order)

	// Remember records an order that was given before this hub has begun: a user resumes
	// nothing from before a revocation. It does not wait.
	Remember(o Order)

	// Recheck looks whether the members of all groups still have the right to be in them.
	// The Upstream calls it, and delivers nothing until it has returned, when it has missed
	// an order, or cannot read one.
	Recheck(ctx context.Context)

	// Stale tells the members that they may see old data, since the broker does not answer,
	// or that this has ended.
	Stale(stale bool)

	// Positions returns the positions up to which groups have received messages.
	Positions() map[string]broker.Position

	// Compare compares the position of a group with that of its stream: the group was at
	// one position when the stream was at another.
	Compare(group string, was, stream broker.Position)
}
