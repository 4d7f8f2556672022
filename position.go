package rohrpost

import (
	"context"
	"fmt"

	"github.com/rohrpost/rohrpost/internal/wire"
)

// Position is a place in the history of a group: the state of a page, or of a row,
// with everything up to there. It gives no right to anything.
type Position struct {
	Epoch  string `json:"epoch"`  // a new one whenever a history begins
	Offset uint64 `json:"offset"` // counts the messages of an epoch, from 1
}

// Position returns the current position of a group, and begins its history if it
// has none. A page that was rendered with state read after that, and subscribes with
// "since" this position, misses nothing, as long as it does so before the history
// ends. It asks nobody for permission. Where the hub keeps no history the Position is
// empty.
func (h *Hub) Position(ctx context.Context, group string) (Position, error) {
	if !wire.ValidGroup(group) {
		return Position{}, fmt.Errorf("position: malformed group name %.250q", group)
	}
	if h.closed.Load() {
		return Position{}, fmt.Errorf("position of %s: %w", group, ErrClosed)
	}
	epoch, offset, err := h.broker.Subscribe(ctx, group)
	if err == nil {
		err = h.broker.Unsubscribe(ctx, group)
	}
	if err != nil {
		return Position{}, fmt.Errorf("position of %s: %w", group, err)
	}
	return Position{epoch, offset}, nil
}
