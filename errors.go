package rohrpost

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rohrpost/rohrpost/internal/panics"
	"github.com/rohrpost/rohrpost/internal/wire"
)

var (
	// ErrClosed is returned by a Conn that is closed or closing, and by a Hub after
	// Shutdown was called. The message is not sent.
	ErrClosed = errors.New("rohrpost: closed")

	// ErrAnswered is returned by SendSuccess and SendError for a request that has its
	// reply already. A request gets exactly one reply.
	ErrAnswered = errors.New("rohrpost: request is already answered")

	// Later is returned by a handler, as result or as error, that answers with SendSuccess
	// or SendError after it has returned. The hub handles the next request of the
	// connection at once. The context of the handler ends with the answer. Without an answer
	// the hub answers "The request timed out." after Limits.RequestTimeout.
	Later error = laterError{}
)

// ErrUnavailable is returned, alone or wrapped, by a function given to Allow, Snapshot or
// SnapshotFor that cannot decide now, for example since its database is down. The client
// reads "UNAVAILABLE". The JavaScript client asks again after a while; it gives up a group
// that is refused with an error that is not temporary.
var ErrUnavailable = temporaryError(wire.CodeUnavailable, "UNAVAILABLE")

var (
	errEmptyMessage     = Errorf("Cannot send an empty message.")
	errNoRequest        = Errorf("You have to provide a message ID and handler on success messages.")
	errTimedOut         = temporaryError(wire.CodeTimeout, "The request timed out.")
	errDenied           = codedError(wire.CodeAccessDenied, "ACCESS_DENIED")
	errLate             = codedError(wire.CodeAccessDenied, "ACCESS_DENIED") // Allow has not decided in time
	errIdentityRequired = codedError(wire.CodeIdentityRequired, "Authentication is required.")
	errTooManyGroups    = codedError(wire.CodeTooManyGroups, "Too many groups.")
	errBinary           = codedError(wire.CodeUnsupported, "Binary messages are not supported.")
	errNoSnapshot       = codedError(wire.CodeNoSnapshot, "This group has no snapshot.")
	errSnapshotTooLarge = codedError(wire.CodeSnapshotTooLarge, "The snapshot is too large.")
	errSnapshotOutrun   = codedError(wire.CodeSnapshotOutrun, "The history does not reach the end of the snapshot: "+
		"Config.History is too small for a snapshot of this size; Limits.MaxSnapshotBytes is the largest.")
	errCancelled = codedError(wire.CodeCancelled, "The subscription was cancelled.")
)

// errInternal stands for an error that was not made for the client.
var errInternal = &Error{text: "internal error", info: wire.ErrorInfo{Code: wire.CodeInternal, Temporary: true}}

// errBusy is ErrUnavailable for a hub that reads too many snapshots.
var errBusy = &Error{text: "UNAVAILABLE", info: wire.ErrorInfo{
	Code: wire.CodeUnavailable, Temporary: true, RetryAfter: retryAfter,
}}

// retryAfter is when a client should try again that was refused since the hub is busy.
const retryAfter = 5 * time.Second

// Error is an error whose text or content the client may read. The hub logs any other
// error and answers "internal error". An Error is immutable.
type Error struct {
	text    string
	wrapped error
	content json.RawMessage // nil: the text
	info    wire.ErrorInfo
}

// Errorf returns an *Error with a text for the client. It formats like fmt.Errorf, %w
// included: errors.Is finds the wrapped error, and the client reads its text. The code
// that the client reads beside it is "application", or that of a wrapped *Error.
func Errorf(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	e := &Error{text: err.Error(), wrapped: errors.Unwrap(err), info: wire.ErrorInfo{Code: wire.CodeApplication}}
	var inner *Error
	if errors.As(panics.Seal(e.wrapped), &inner) {
		e.info = inner.info
	}
	return e
}

// ErrorContent returns an *Error with content for the client: v, encoded as JSON, is the
// "error" of the reply in place of a text. If v encodes to null or not at all, the error
// is an internal one.
func ErrorContent(v any) error {
	object, err := wire.EncodeObject(v)
	if err != nil {
		return fmt.Errorf("rohrpost: content of an error: %w", err)
	}
	if string(object.JSON()) == "null" {
		return errors.New("rohrpost: content of an error: null is none")
	}
	return &Error{text: string(object.JSON()), content: object.JSON(), info: wire.ErrorInfo{Code: wire.CodeApplication}}
}

// codedError returns an *Error of the hub.
func codedError(code, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &Error{text: err.Error(), wrapped: errors.Unwrap(err), info: wire.ErrorInfo{Code: code}}
}

// temporaryError is codedError for a request that may succeed later.
func temporaryError(code, text string) error {
	return &Error{text: text, info: wire.ErrorInfo{Code: code, Temporary: true}}
}

// Error returns the text for the client, or its content as JSON.
func (e *Error) Error() string { return e.text }

// Unwrap returns the error given to Errorf with %w, or nil.
func (e *Error) Unwrap() error { return e.wrapped }

// put puts the error into a reply.
func (e *Error) put(reply *wire.Envelope) {
	if reply.Error = e.content; reply.Error == nil {
		reply.Error = wire.EncodeString(e.text)
	}
	reply.ErrorInfo = &e.info
}

// readable returns the *Error in err that was made for the client. It reports false if
// there is none, and returns errInternal.
func readable(err error) (*Error, bool) {
	var e *Error
	if errors.As(err, &e) && e != nil && e.text != "" {
		return e, true
	}
	return errInternal, false
}

type laterError struct{}

func (laterError) Error() string { return "rohrpost: the request is answered later" }

// unauthorizedText returns what the client may read of an error of Config.Authenticate.
func unauthorizedText(err error) string {
	if e, ok := readable(err); ok {
		return e.Error()
	}
	return "Unauthorized"
}

// unauthorizedReason returns unauthorizedText as the reason of a close frame.
func unauthorizedReason(err error) string {
	text := unauthorizedText(err)
	if len(text) > wire.MaxCloseReason {
		text = text[:wire.MaxCloseReason]
		for !utf8.ValidString(text) && len(text) > wire.MaxCloseReason-utf8.UTFMax {
			text = text[:len(text)-1]
		}
	}
	return strings.ToValidUTF8(text, "?")
}
