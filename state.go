package rohrpost

import (
	"context"
	"encoding/json"
	"fmt"
)

type stateFunc = func(ctx context.Context, c *Conn, p Params) (any, error)

// State lets connections ask for the state of the groups that match the pattern,
// when they subscribe with "snapshot": true. state is called once the connection may be
// in the group, and returns anything that encodes to JSON; what js/ can watch is a list
// of objects like those of the changes. The connection gets it with the position
// of the group before state was called, and all changes after that position: nothing is
// missed in between, but a change may already be in the state.
//
// The text of an *Error is what the connection reads, any other error and a panic are
// logged and answered "internal error". state is called concurrently, with
// Config.RequestTimeout as deadline. Patterns are those of Allow, with the same panics.
func (h *Hub) State(pattern string, state func(ctx context.Context, c *Conn, p Params) (any, error)) {
	if state == nil {
		panic(fmt.Sprintf("rohrpost: pattern %q: no function", pattern))
	}
	h.setup.Lock()
	defer h.setup.Unlock()
	h.states = h.states.with(pattern, state)
}

// state reads the state of a group.
func (h *Hub) state(ctx context.Context, c *Conn, group string) (raw json.RawMessage, err error) {
	h.setup.RLock()
	states := h.states
	h.setup.RUnlock()
	state, params := states.find(group)
	if state == nil {
		return nil, errNoState
	}
	err = guard(func() error {
		v, err := state(ctx, c, params)
		if err != nil {
			return err
		}
		raw, err = encodeObject(v)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("state of %s: %w", group, err)
	}
	return raw, nil
}
