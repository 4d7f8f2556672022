package handlers

import (
	"context"
	"encoding/json"
)

// Door is what subscribe and unsubscribe need of the connection that asks. Its
// errors go back to that connection as they are.
type Door interface {
	// GroupOf returns the well-formed name of the group that data means.
	GroupOf(data json.RawMessage) (string, error)

	// Enter makes the connection a member of the group if it may be one, and answers
	// the request: what is sent to the group comes after the answer. To enter twice is
	// no error.
	Enter(ctx context.Context, group string, want Want) error

	// Leave ends the membership, if there is one.
	Leave(group string)

	// Refuse returns an error with a text that the connection may read.
	Refuse(text string) error
}
