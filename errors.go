package rohrpost

import (
	"errors"
	"fmt"
)

var (
	// ErrClosed is returned by a Conn that is closed or closing, and by a Hub
	// after Shutdown was called. What was to be sent is not sent.
	ErrClosed = errors.New("rohrpost: closed")

	// ErrAnswered is returned by SendSuccess and SendError for a request that
	// has its reply already: a request gets exactly one.
	ErrAnswered = errors.New("rohrpost: request is already answered")

	// Later is returned by a handler, as result or as error, that answers with
	// SendSuccess or SendError after it has returned. It frees the order of the
	// connection: the next request is handled at once. The context of the
	// handler lives until the answer is given; without one, the request is
	// answered "The request timed out." after Config.RequestTimeout.
	Later error = laterError{}
)

// ErrUnavailable is what a function of Allow or State returns, alone or wrapped,
// when it cannot tell now, because its database is away: the other end reads
// "UNAVAILABLE", and js/ asks again after a while. A group that is refused
// otherwise it gives up.
var ErrUnavailable = Errorf("UNAVAILABLE")

var (
	errEmptyMessage = Errorf("Cannot send an empty message.")
	errNoRequest    = Errorf("You have to provide a message ID and handler on success messages.")
	errTimedOut     = Errorf("The request timed out.")
	errDenied       = Errorf("ACCESS_DENIED")
	errTooMany      = Errorf("Too many groups.")
	errBinary       = Errorf("Binary messages are not supported.")
	errNoState      = Errorf("This group has no snapshot.")
)

// internalError is all that a connection gets to read of an error that was not
// made for it.
const internalError = "internal error"

// Error is an error whose text may be read by the other end of the connection.
// Any other error is logged and answered "internal error". It is immutable.
type Error struct {
	err error
}

// Errorf returns an *Error with a text for the other end of the connection.
// It formats like fmt.Errorf, %w included: the wrapped error can be found with
// errors.Is, and its text is part of what the other end reads.
func Errorf(format string, args ...any) error {
	return &Error{err: fmt.Errorf(format, args...)}
}

// Error returns the text the other end reads.
func (e *Error) Error() string { return e.err.Error() }

// Unwrap returns the error given to Errorf with %w, or nil.
func (e *Error) Unwrap() error { return errors.Unwrap(e.err) }

// readable returns the text in err that was made for the other end, and
// whether there is one.
func readable(err error) (string, bool) {
	var e *Error
	if errors.As(err, &e) && e.err != nil && e.Error() != "" {
		return e.Error(), true
	}
	return internalError, false
}

type laterError struct{}

func (laterError) Error() string { return "rohrpost: the request is answered later" }
