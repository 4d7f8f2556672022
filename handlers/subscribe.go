package handlers

import (
	"context"
	"encoding/json"
)

// Subscribe enters the group that data means. The reply is made after that: a
// page that has it misses nothing any more.
func Subscribe(ctx context.Context, d Door, data json.RawMessage) (Group, error) {
	name, err := d.GroupOf(data)
	if err != nil {
		return Group{}, err
	}
	if err := d.Enter(ctx, name); err != nil {
		return Group{}, err
	}
	return Group{name}, nil
}
