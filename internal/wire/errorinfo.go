package wire

import (
	"encoding/json"
	"time"
)

// The codes of refusals. Those of requests are in "error_info", those of connections
// only in Stats.
const (
	CodeAccessDenied     = "access_denied"
	CodeUnavailable      = "unavailable"
	CodeTimeout          = "timeout"
	CodeInternal         = "internal"
	CodeMalformed        = "malformed"
	CodeUnknownHandler   = "unknown_handler"
	CodeTooManyGroups    = "too_many_groups"
	CodeNoSnapshot       = "no_snapshot"
	CodeSnapshotTooLarge = "snapshot_too_large"
	CodeSnapshotOutrun   = "snapshot_outrun" // the history does not reach the end of a snapshot in parts
	CodeCancelled        = "cancelled"       // by an unsubscribe request or Conn.Leave
	CodeUnsupported      = "unsupported"     // a binary message
	CodeApplication      = "application"     // an error of a handler or a snapshot function

	CodeIdentityRequired = "identity_required" // of an anonymous client; also of a connection
	CodeOtherIdentity    = "other_identity"    // a token names another user than the connection has

	// These close a connection, with the code in the reason.
	CodeMessages       = "messages"
	CodeBytes          = "bytes"
	CodeControlFrames  = "control_frames"
	CodeMessageTime    = "message_time"
	CodeRefusedGroups  = "refused_groups"
	CodeProtocolErrors = "protocol_errors"

	CodeOrigin        = "origin"
	CodeUnauthorized  = "unauthorized"
	CodeHost          = "host"
	CodeFull          = "full"
	CodeAddress       = "too_many_of_address"
	CodeUser          = "too_many_of_user" // also closes a connection
	CodeSlowHandshake = "slow_handshake"
	CodeShutdown      = "shutdown"
	CodeHandshake     = "handshake"
)

// ErrorInfo tells a program what the error of a reply means.
type ErrorInfo struct {
	Code       string
	Temporary  bool          // the same request may succeed later
	RetryAfter time.Duration // how long to wait before that; 0: the hub does not know
}

// encode returns the JSON of the ErrorInfo.
func (i *ErrorInfo) encode() json.RawMessage {
	raw, _ := json.Marshal(struct { // always encodes
		Code       string  `json:"code"`
		Temporary  bool    `json:"temporary"`
		RetryAfter float64 `json:"retry_after,omitempty"` // seconds
	}{i.Code, i.Temporary, i.RetryAfter.Seconds()})
	return raw
}
