package rohrpost

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/rohrpost/rohrpost/internal/panics"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// SnapshotRequest says which snapshot a client asks for.
type SnapshotRequest struct {
	Group  string // the name of the group
	Params Params // the values of the placeholders in the pattern
}

type snapshotFunc = func(ctx context.Context, c *Conn, r SnapshotRequest) (any, error)

// SnapshotFor lets clients ask for a snapshot of the groups that match the pattern, by
// subscribing with "snapshot": true. The hub calls snapshot for each connection, after
// Allow has admitted it. snapshot returns anything that encodes to JSON; the JavaScript
// client can watch a list of objects like those of the changes. The client gets the
// snapshot with the position that the group had before snapshot was called, and all
// changes after that position. So it misses nothing, but the snapshot may contain a
// change that follows.
//
// The client reads the text of an *Error. The hub logs any other error and a panic, and
// the client reads "internal error". snapshot is called concurrently, with
// Limits.RequestTimeout as deadline. Patterns are those of Allow, with the same panics.
func (h *Hub) SnapshotFor(pattern string, snapshot func(ctx context.Context, c *Conn, r SnapshotRequest) (any, error)) {
	if snapshot == nil {
		panic(fmt.Sprintf("rohrpost: pattern %q: no function", pattern))
	}
	h.setup.Lock()
	defer h.setup.Unlock()
	h.snapshots = h.snapshots.with(pattern, snapshot)
}

// snapshotFor reads the snapshot of a group.
func (h *Hub) snapshotFor(ctx context.Context, c *Conn, group string) (json.RawMessage, error) {
	h.setup.RLock()
	snapshots := h.snapshots
	h.setup.RUnlock()
	snapshot, params := snapshots.find(group)
	if snapshot == nil {
		return nil, errNoSnapshot
	}
	var object wire.Object
	err := panics.Guard(func() error {
		v, err := snapshot(ctx, c, SnapshotRequest{Group: group, Params: params})
		if err != nil {
			return err
		}
		object, err = wire.EncodeObject(v)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("snapshot of %s: %w", group, err)
	}
	return object.JSON(), nil
}
