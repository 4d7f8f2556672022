// Package excess knows what a client may use too much of, and how its connection is closed
// for that.
package excess

import (
	"encoding/json"
	"time"

	"github.com/rohrpost/rohrpost/internal/budget"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// Excess is what a client has used more of than it may. It is also the error of a reader
// that has closed the connection for it.
type Excess struct {
	Code   string // of Stats.Refused, and in the reason of the close frame
	Limit  string // the field of Limits
	Policy bool   // the client is at fault: it must not come again by itself
}

// Error implements error.
func (e *Excess) Error() string { return "more than Limits." + e.Limit }

// All that clients may use too much of.
var (
	Messages        = &Excess{Code: wire.CodeMessages, Limit: "Messages"}
	Bytes           = &Excess{Code: wire.CodeBytes, Limit: "InboundBytes"}
	ControlFrames   = &Excess{Code: wire.CodeControlFrames, Limit: "ControlFrames"}
	MessageTime     = &Excess{Code: wire.CodeMessageTime, Limit: "MessageTimeout"}
	RefusedGroups   = &Excess{Code: wire.CodeRefusedGroups, Limit: "RefusedGroups"}
	UserConnections = &Excess{Code: wire.CodeUser, Limit: "MaxUserConnections"}
	ProtocolErrors  = &Excess{Code: wire.CodeProtocolErrors, Limit: "MaxProtocolErrors", Policy: true}
)

// Of returns the Excess for a use.
func Of(use budget.Use) *Excess {
	switch use {
	case budget.Messages:
		return Messages
	case budget.Controls:
		return ControlFrames
	}
	return Bytes
}

// Closing returns the close code for an Excess, and a reason that tells the client when to
// come again.
func (e *Excess) Closing(retryAfter time.Duration) (code int, reason string) {
	r := struct {
		Code       string  `json:"code"`
		RetryAfter float64 `json:"retry_after,omitempty"`
	}{e.Code, retryAfter.Seconds()}
	code = wire.CloseTooMuch
	if e.Policy {
		code, r.RetryAfter = wire.ClosePolicy, 0
	}
	text, _ := json.Marshal(r) // always encodes
	return code, string(text)
}
