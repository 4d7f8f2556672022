package wire

import (
	"encoding/binary"
	"fmt"
	"time"
	"unicode/utf8"
)

// The codes with which the hub closes connections: those of RFC 6455, section
// 7.4.1, and of its registry, then those of the hub.
const (
	CloseNormal         = 1000
	CloseGoingAway      = 1001 // Hub.Shutdown
	CloseProtocolError  = 1002
	CloseNoStatus       = 1005 // never sent
	CloseAbnormal       = 1006 // never sent
	CloseInvalidPayload = 1007 // a text that is no UTF-8
	ClosePolicy         = 1008
	CloseTooLarge       = 1009 // a message above Limits.MaxMessageBytes
	CloseInternalError  = 1011
	CloseTryAgainLater  = 1013 // Config.OnConnect cannot decide
	CloseBadGateway     = 1014

	CloseExpired      = 4001 // the identity has expired
	CloseSlowConsumer = 4008 // the client reads too slowly
	CloseTooMuch      = 4029 // the client exceeds a limit; the reason says when to come again
	CloseUnauthorized = 4401 // the client is not authenticated
	CloseForbidden    = 4403 // Config.OnConnect has refused the client, or a token names another user

	closeFirstOwn, closeLastOwn = 3000, 4999 // of libraries and applications
)

// MaxCloseReason is the length of the longest reason in bytes.
const MaxCloseReason = 123

// ShortestRetry is the shortest delay that a hub asks for which ends.
const ShortestRetry = 500 * time.Millisecond

// RetrySpread returns the time over which so many clients should come back: 4,000 a
// second, but within half a second at least and ten seconds at most.
func RetrySpread(clients int) time.Duration {
	const shortest, longest, perClient = 500 * time.Millisecond, 10 * time.Second, time.Second / 4000
	return min(max(time.Duration(clients)*perClient, shortest), longest)
}

// RetryReason returns the reason of a close frame that asks the client to come back after
// a delay.
func RetryReason(why string, after time.Duration) string {
	return fmt.Sprintf("%s; retry_after=%.2f", why, after.Seconds())
}

// MayClose reports whether a program may close a connection with the code.
func MayClose(code int) bool {
	return code == CloseNormal || code == CloseGoingAway || code == ClosePolicy ||
		CloseInternalError <= code && code <= CloseBadGateway || closeFirstOwn <= code && code <= closeLastOwn
}

// CheckClose returns what is wrong with a close code of a program and its reason.
func CheckClose(code int, reason string) error {
	if !MayClose(code) {
		return fmt.Errorf("code %d cannot be sent", code)
	}
	if len(reason) > MaxCloseReason || !utf8.ValidString(reason) {
		return fmt.Errorf("the reason is not UTF-8 of at most %d bytes", MaxCloseReason)
	}
	return nil
}

// CloseFrame returns a close frame. Without a code, CloseNoStatus, it is empty.
func CloseFrame(code int, reason string) Frame {
	if code == CloseNoStatus {
		return controlFrame(opClose, nil)
	}
	return controlFrame(opClose, append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...))
}
