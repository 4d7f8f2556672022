package rohrpost

import (
	"context"
	"errors"
	"fmt"

	"github.com/rohrpost/rohrpost/internal/access"
	"github.com/rohrpost/rohrpost/internal/upstream"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// Disconnect closes the connections of a user, at all hubs, in place of what waits for
// them. The code and the reason are those of Conn.Close. "" is all users. When Disconnect
// returns nil, nothing is written any more to a connection of the user at this hub, except
// the rest of a frame that is begun and the close frame; other hubs follow within a
// second, if the broker answers. Disconnect takes no right: the client may connect again
// as far as Config.Authenticate and Config.OnConnect admit it, for which codes from 4400 to
// 4499 tell the JavaScript client not to try.
//
// If Disconnect returns an error, it may have done its work at this hub only.
func (h *Hub) Disconnect(ctx context.Context, userID string, code int, reason string) error {
	if err := wire.CheckClose(code, reason); err != nil {
		return fmt.Errorf("rohrpost: disconnect: %w", err)
	}
	return h.order(ctx, upstream.Order{Kind: upstream.OrderDisconnect, User: userID, Code: code, Reason: reason})
}

// Revoke ends the memberships of a user in the groups that match the pattern, at all hubs,
// those by Conn.Join included. "" is all users, and all groups. Call it after the
// program has taken the right, so that Allow refuses: a user whom Allow still admits may
// come back.
//
// When Revoke returns nil, no further message of these groups is written to a connection of
// the user at this hub, and what waited is discarded, except the rest of a frame that is
// begun. A subscription that is being decided, or whose snapshot is being read, is decided
// again. Other hubs follow within a second, if the broker answers; a hub that missed the
// order rechecks its memberships before it delivers again. A client that has asked for
// it in its hello gets a message of type "unsubscribed" with the reason "revoked". A
// client that comes back later gets no replay of what happened before.
//
// If Revoke returns an error, it may have done its work at this hub only. It panics
// neither for a malformed pattern nor for an unknown user.
func (h *Hub) Revoke(ctx context.Context, userID, pattern string) error {
	if _, err := matcher(pattern); err != nil {
		return fmt.Errorf("rohrpost: revoke: %w", err)
	}
	return h.order(ctx, upstream.Order{Kind: upstream.OrderRevoke, User: userID, Pattern: pattern})
}

// Recheck calls Allow for the memberships of a user in the groups that match the pattern,
// at all hubs, and ends those that Allow refuses as Revoke does. "" is all users, and all
// groups. Memberships by Conn.Join stay, as those that Anyone has admitted. When Recheck
// returns nil, Allow has decided about all of them at this hub. A membership stays while
// Allow returns ErrUnavailable or no decision in time: Recheck then returns an error that
// wraps ErrUnavailable.
func (h *Hub) Recheck(ctx context.Context, userID, pattern string) error {
	if _, err := matcher(pattern); err != nil {
		return fmt.Errorf("rohrpost: recheck: %w", err)
	}
	return h.order(ctx, upstream.Order{Kind: upstream.OrderRecheck, User: userID, Pattern: pattern})
}

// order does at this hub what it tells the others to do.
func (h *Hub) order(ctx context.Context, o upstream.Order) error {
	if h.conns.IsClosed() {
		return fmt.Errorf("rohrpost: %s: %w", o.Kind, ErrClosed)
	}
	err := obey(ctx, h.enforcer, o)
	if errors.Is(err, access.ErrUndecided) {
		err = errors.Join(err, ErrUnavailable)
	}
	if err := errors.Join(err, h.upstream.Order(ctx, o)); err != nil {
		return fmt.Errorf("rohrpost: %s: %w", o.Kind, err)
	}
	return nil
}
