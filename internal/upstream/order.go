package upstream

import "encoding/json"

// The kinds of orders.
const (
	OrderDisconnect = "disconnect" // close the connections of User with Code and Reason
	OrderRevoke     = "revoke"     // end the memberships of User in the groups that match Pattern
	OrderRecheck    = "recheck"    // ask Allow again about these memberships
	OrderResync     = "resync"     // the groups that match Pattern load their snapshot again; Object holds the reason
)

// Order is what a hub tells all hubs to do.
type Order struct {
	Kind    string          `json:"kind"`
	User    string          `json:"user,omitempty"`    // "": all users
	Pattern string          `json:"pattern,omitempty"` // "": all groups
	Code    int             `json:"code,omitempty"`
	Reason  string          `json:"reason,omitempty"`
	Object  json.RawMessage `json:"object,omitempty"`
}
