// Package panics turns a panic in the user's code into an error.
package panics

import (
	"fmt"
	"runtime/debug"
)

// Error is a recovered panic.
type Error struct {
	Value any    // the argument of panic
	Stack []byte // where it happened
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("panic: %v\n%s", e.Value, e.Stack) }

// Guard calls f and returns a panic in it as an *Error.
func Guard(f func() error) (err error) {
	defer Recover(&err)
	return f()
}

// Recover sets *err to an *Error if the function that defers it panics.
func Recover(err *error) {
	if p := recover(); p != nil {
		*err = &Error{Value: p, Stack: debug.Stack()}
	}
}
