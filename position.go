package rohrpost

import (
	"context"
	"fmt"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// Position is a place in the history of a group: that of a snapshot, or of a row, with
// everything before it. It grants no access.
type Position = broker.Position

// Position returns the current position of a group, and begins its history if it has
// none. A page that was rendered with data read after the call, and that subscribes with
// "since" this position, misses nothing as long as it does so before the history ends.
// Position does not call Allow. Without a history the Position is zero.
func (h *Hub) Position(ctx context.Context, group string) (Position, error) {
	if !wire.ValidGroup(group) {
		return Position{}, fmt.Errorf("rohrpost: position: malformed group name %.250q", group)
	}
	if h.conns.isClosed() {
		return Position{}, fmt.Errorf("rohrpost: position of %s: %w", group, ErrClosed)
	}
	at, err := h.upstream.Position(ctx, group)
	if err != nil {
		return Position{}, fmt.Errorf("rohrpost: position of %s: %w", group, err)
	}
	return at, nil
}
