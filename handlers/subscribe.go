package handlers

import (
	"context"
	"encoding/json"
)

// Subscribe enters the group that data means. The reply is made by the door.
func Subscribe(ctx context.Context, d Door, data json.RawMessage) error {
	name, err := d.GroupOf(data)
	if err != nil {
		return err
	}
	want, problem := WantOf(data)
	if problem != "" {
		return d.Refuse(problem)
	}
	return d.Enter(ctx, name, want)
}
