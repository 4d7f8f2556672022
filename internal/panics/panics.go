// Package panics keeps the failures of the user's code from the program: panics,
// runtime.Goexit, and errors whose methods panic.
package panics

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// ErrExited stands for a function that has ended its goroutine with runtime.Goexit.
var ErrExited = errors.New("the function has ended its goroutine")

// Error is a recovered panic.
type Error struct {
	Value any    // the argument of panic
	Stack []byte // where it happened
}

// Error implements error.
func (e *Error) Error() (text string) {
	defer func() {
		if recover() != nil { // formatting the Value panics, and so does formatting that panic
			text = fmt.Sprintf("panic: a value of type %T\n%s", e.Value, e.Stack)
		}
	}()
	return fmt.Sprintf("panic: %v\n%s", e.Value, e.Stack)
}

// Guard calls f and returns a panic in it as an *Error.
func Guard(f func() error) (err error) {
	defer Recover(&err)
	return f()
}

// Call is Guard for a function of the user, whose error is sealed.
func Call(f func() error) error { return Seal(Guard(f)) }

// Isolate is Call in a goroutine of its own, for which it waits: ErrExited stands for
// runtime.Goexit, which would else end the goroutine of the caller.
func Isolate(f func() error) error {
	result := make(chan error, 1)
	go func() {
		err := ErrExited
		defer func() { result <- err }()
		err = Call(f)
	}()
	return <-result
}

// Recover sets *err to an *Error if the function that defers it panics.
func Recover(err *error) {
	if p := recover(); p != nil {
		*err = &Error{Value: p, Stack: debug.Stack()}
	}
}
