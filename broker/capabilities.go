package broker

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrRefused is what a RefusedError is: the broker will never take the batch.
var ErrRefused = errors.New("the broker refuses the batch")

// ErrTried is the reason why a broker refuses a batch that was Tried before its epoch began:
// clients may have got it, and then have loaded a snapshot that contains it.
var ErrTried = errors.New("the batch may have been taken before the engine has lost messages")

// RefusedError is the error of Publish for a batch that the broker will never take, for
// example since a message is too large. The hub drops the batch and tells its groups to
// load their snapshots again. Any other error makes it publish the batch again.
type RefusedError struct {
	Source string
	Number uint64
	Err    error // why
}

// Error implements error.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("%v: number %d of %s: %v", ErrRefused, e.Number, e.Source, e.Err)
}

// Unwrap returns ErrRefused and the reason.
func (e *RefusedError) Unwrap() []error { return []error{ErrRefused, e.Err} }

// Untried returns the batches that a Broker may take in an epoch that it has met at a time,
// zero for its first epoch: those before the first one that was Tried earlier. The error is
// the RefusedError for that one, nil if there is none.
func Untried(batches []Batch, since time.Time) ([]Batch, error) {
	for i := range batches {
		if b := &batches[i]; !b.Tried.IsZero() && b.Tried.Before(since) {
			return batches[:i], &RefusedError{Source: b.Source, Number: b.Number, Err: ErrTried}
		}
	}
	return batches, nil
}

// Signaler is a Broker that carries messages without keeping them. Without it Hub.Send
// returns an error.
type Signaler interface {
	// Signal delivers messages to the hubs that follow their streams: at most once, in no
	// order with other messages, and with the zero Position.
	Signal(ctx context.Context, messages []Message) error
}

// Limiter is a Broker that has limits.
type Limiter interface {
	// Limits returns the limits. They do not change.
	Limits() Limits
}

// Limits are what a broker takes, and keeps. Zero stands for what a field says.
type Limits struct {
	// PayloadBytes is the size of the largest payload. In place of a larger one the hub
	// publishes a resync, and a larger signal is an error for its caller. 0 stands for none.
	PayloadBytes int

	// BatchMessages is the number of messages in the largest batch. The hub divides larger
	// ones. 0 stands for none.
	BatchMessages int

	// Keep is how long a message, or a stream that no hub follows, can be kept at most. 0
	// stands for an hour, a negative one for ever.
	Keep time.Duration
}

// Migrator is a Broker that needs tables or the like in its engine.
type Migrator interface {
	// Migrate makes them, or changes those of an earlier version. A Broker also does that
	// at its first use; Migrate is for deployments, where the program itself may not.
	// It may be called by several processes at the same time.
	Migrate(ctx context.Context) error
}

// Renewer is a Broker whose engine may have been restored from a copy without the broker
// being able to tell.
type Renewer interface {
	// Renew gives all streams new epochs, so that every client loads its snapshot again.
	// An operator calls it after such a restore.
	Renew(ctx context.Context) error
}
