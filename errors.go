package rohrpost

import (
	"errors"
	"fmt"
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

// ErrUnavailable is returned, alone or wrapped, by a function given to Allow or
// SnapshotFor that cannot decide now, for example since its database is down. The client
// reads "UNAVAILABLE". The JavaScript client asks again after a while; it gives up a group
// that is refused with any other error.
var ErrUnavailable = Errorf("UNAVAILABLE")

var (
	errEmptyMessage  = Errorf("Cannot send an empty message.")
	errNoRequest     = Errorf("You have to provide a message ID and handler on success messages.")
	errTimedOut      = Errorf("The request timed out.")
	errDenied        = Errorf("ACCESS_DENIED")
	errTooManyGroups = Errorf("Too many groups.")
	errBinary        = Errorf("Binary messages are not supported.")
	errNoSnapshot    = Errorf("This group has no snapshot.")
)

// internalError is the text for an error that was not made for the client.
const internalError = "internal error"

// Error is an error whose text the client may read. The hub logs any other error and
// answers "internal error". An Error is immutable.
type Error struct {
	err error
}

// Errorf returns an *Error with a text for the client. It formats like fmt.Errorf, %w
// included: errors.Is finds the wrapped error, and the client reads its text.
func Errorf(format string, args ...any) error {
	return &Error{err: fmt.Errorf(format, args...)}
}

// Error returns the text for the client.
func (e *Error) Error() string { return e.err.Error() }

// Unwrap returns the error given to Errorf with %w, or nil.
func (e *Error) Unwrap() error { return errors.Unwrap(e.err) }

// readable returns the text in err that was made for the client, and whether there is
// one.
func readable(err error) (string, bool) {
	var e *Error
	if errors.As(err, &e) && e.err != nil && e.Error() != "" {
		return e.Error(), true
	}
	return internalError, false
}

type laterError struct{}

func (laterError) Error() string { return "rohrpost: the request is answered later" }
