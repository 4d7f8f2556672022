package rohrpost

import (
	"context"
	"errors"
	"fmt"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/capture"
	"github.com/rohrpost/rohrpost/internal/fanout"
	"github.com/rohrpost/rohrpost/internal/panics"
	"github.com/rohrpost/rohrpost/internal/snapshots"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// SnapshotRequest says which snapshot a client asks for.
type SnapshotRequest struct {
	Group  string // the name of the group
	Params Params // the values of the placeholders in the pattern
	View   string // the view of the group that the client gets, "" for a group without views
}

// snapshotFuncs has one function: that of Snapshot or that of SnapshotFor.
type snapshotFuncs struct {
	shared  func(ctx context.Context, r SnapshotRequest) (any, error)
	forConn func(ctx context.Context, c *Conn, r SnapshotRequest) (any, error)
}

// Snapshot lets clients ask for a snapshot of the groups that match the pattern, by
// subscribing with "snapshot": true. snapshot is called after Allow has admitted the
// connection. It returns anything that encodes to JSON; the JavaScript client can watch a
// list of objects like those of the changes. A nil slice is an empty list. The client gets
// the snapshot with the position that the group had before the call, and all changes
// after that position. So it misses nothing, but the snapshot may contain a change that
// follows.
//
// The snapshot is shared: while a call for a group runs, all clients that ask for the
// group, or for one view of it, wait for it. After a call that many shared, as after a resync, the next one begins
// up to half a second later, so that a large group needs few. snapshot must therefore return the same for every client that Allow
// admits; SnapshotFor is for all others. In snapshot RequestFromContext returns nil. ctx
// ends with Limits.RequestTimeout, with Hub.Shutdown, and when the connections of all
// clients that wait have ended. At most Limits.MaxSnapshots functions run at a time, those
// of different groups concurrently.
//
// The clients read an *Error. The hub logs any other error and a panic, and the clients
// read "internal error". Patterns are those of Allow, with the same panics; a pattern has
// one function.
func (h *Hub) Snapshot(pattern string, snapshot func(ctx context.Context, r SnapshotRequest) (any, error)) {
	if snapshot == nil {
		panic(fmt.Sprintf("rohrpost: pattern %q: no function", pattern))
	}
	define(&h.setup, h.log, &h.snapshots, pattern, snapshotFuncs{shared: snapshot})
}

// SnapshotFor is Snapshot for a function that depends on the connection. It is called for
// each connection. ctx ends with the connection, and with Limits.RequestTimeout.
func (h *Hub) SnapshotFor(pattern string, snapshot func(ctx context.Context, c *Conn, r SnapshotRequest) (any, error)) {
	if snapshot == nil {
		panic(fmt.Sprintf("rohrpost: pattern %q: no function", pattern))
	}
	define(&h.setup, h.log, &h.snapshots, pattern, snapshotFuncs{forConn: snapshot})
}

// readSnapshot reads the snapshot of a group as fanout.Subscription.Snapshot describes it.
// It returns the position after which everything must follow.
func (h *Hub) readSnapshot(ctx context.Context, c *Conn, stream string, at Position, reach func(from Position) bool) (*snapshots.Encoded, Position, error) {
	h.setup.RLock()
	all := h.snapshots
	h.setup.RUnlock()
	group, view := wire.SplitStream(stream)
	functions, params := all.Find(group)
	r := SnapshotRequest{Group: group, Params: params, View: view}
	var encoded *snapshots.Encoded
	var err error
	switch {
	case functions.shared != nil:
		key := snapshots.Key{Group: group, View: view}
		encoded, at, err = h.calls.Share(ctx, key, at, reach, func(ctx context.Context) (*snapshots.Encoded, error) {
			return h.encodeSnapshot(ctx, group, func() (any, error) { return functions.shared(capture.ReadFromSource(ctx), r) })
		})
	case functions.forConn != nil:
		encoded, err = h.calls.Run(ctx, func(ctx context.Context) (*snapshots.Encoded, error) {
			return h.encodeSnapshot(ctx, group, func() (any, error) { return functions.forConn(capture.ReadFromSource(ctx), c, r) })
		})
	default:
		err = errNoSnapshot
	}
	if errors.Is(err, snapshots.ErrBusy) {
		h.warn(&h.throttles.busy, "rohrpost: too many snapshots are being read: raise Limits.MaxSnapshots, or make them faster",
			"group", group, "MaxSnapshots", h.config.Limits.MaxSnapshots)
		err = errBusy
	}
	return encoded, at, err
}

// encodeSnapshot calls a function that reads a snapshot. Every error that it returns has
// been logged, or is for the client, or is that of ctx.
func (h *Hub) encodeSnapshot(ctx context.Context, group string, read func() (any, error)) (encoded *snapshots.Encoded, err error) {
	err = panics.Call(func() error {
		v, err := read()
		if err == nil {
			encoded, err = snapshots.Encode(v, half(h.config.Limits.MaxSendQueueBytes))
		}
		return err
	})
	if err == nil {
		err = h.checkSnapshot(group, len(encoded.JSON))
	}
	if err == nil {
		return encoded, nil
	}
	if _, ok := readable(err); ok {
		return nil, err
	}
	if ended := ctx.Err(); ended != nil && errors.Is(err, ended) {
		if errors.Is(ended, context.DeadlineExceeded) {
			return nil, errTimedOut
		}
		return nil, err
	}
	h.log.Error("rohrpost: read a snapshot", "group", group, "error", err)
	return nil, errInternal
}

// checkSnapshot compares the size of a snapshot with the limit.
func (h *Hub) checkSnapshot(group string, bytes int) error {
	limit := h.config.Limits.MaxSnapshotBytes
	if over(bytes, limit) {
		h.log.Error("rohrpost: a snapshot is larger than Limits.MaxSnapshotBytes", "group", group, "bytes", bytes, "MaxSnapshotBytes", limit)
		return errSnapshotTooLarge
	}
	if over(bytes, half(limit)) {
		h.warn(&h.throttles.large, "rohrpost: a snapshot is larger than half of Limits.MaxSnapshotBytes",
			"group", group, "bytes", bytes, "MaxSnapshotBytes", limit)
	}
	return nil
}

// explainSnapshot returns the error that the client gets for one of a subscription with
// a snapshot.
func (h *Hub) explainSnapshot(group string, err error) error {
	switch {
	case errors.Is(err, errFrameSize):
		h.warn(&h.throttles.whole, "rohrpost: a snapshot fits into no send queue: its client does not ask for parts, or it is no array of small items",
			"group", group, "MaxSendQueueBytes", h.config.Limits.MaxSendQueueBytes)
		return errSnapshotTooLarge
	case errors.Is(err, fanout.ErrOutrun):
		h.warn(&h.throttles.outrun, "rohrpost: the history does not reach the end of a snapshot", "group", group,
			"remedy", "raise Config.History, or reduce the snapshot and Limits.MaxSnapshotBytes")
		return errSnapshotOutrun
	case errors.Is(err, fanout.ErrTimedOut):
		return errTimedOut
	}
	return outward(err)
}

// half returns half a limit. A negative limit means none.
func half(limit int) int {
	if limit < 0 {
		return limit
	}
	return limit / 2
}

// Position is a place in the history of a group: that of a snapshot, or of a row, with
// everything before it. It grants no access.
type Position = broker.Position

// Position returns the current position of a group, and begins its history if it has
// none. A page that was rendered with data read after the call, and that subscribes with
// "since" this position, misses nothing as long as it does so before the history ends.
// Position does not call Allow. Without a history the Position is zero. The error is about
// a malformed name, a group with views, and a broker that does not answer.
func (h *Hub) Position(ctx context.Context, group string) (Position, error) {
	return h.PositionInView(ctx, group, "")
}

// PositionInView is Position for one of the views of a group, see AllowViews. A client
// resumes from it only if it gets the same view.
func (h *Hub) PositionInView(ctx context.Context, group, view string) (Position, error) {
	stream, err := h.streamOf(group, view)
	if err != nil {
		return Position{}, fmt.Errorf("rohrpost: position: %w", err)
	}
	if h.conns.IsClosed() {
		return Position{}, fmt.Errorf("rohrpost: position of %s: %w", stream, ErrClosed)
	}
	at, err := h.upstream.Position(ctx, stream)
	if err != nil {
		return Position{}, fmt.Errorf("rohrpost: position of %s: %w", stream, err)
	}
	at.Epoch = wire.EpochFor(stream, at.Epoch)
	return at, nil
}
