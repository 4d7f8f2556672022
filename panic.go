package rohrpost

import (
	"fmt"
	"runtime/debug"
)

// panicError is a panic in a function of the program, with where it happened.
type panicError struct {
	value any
	stack []byte
}

func (p *panicError) Error() string { return fmt.Sprintf("panic: %v\n%s", p.value, p.stack) }

// guard runs a function of the program. A panic is an error like any other.
func guard(f func() error) (err error) {
	defer recovered(&err)
	return f()
}

// recovered, deferred, turns a panic into an error.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = &panicError{value: p, stack: debug.Stack()}
	}
}
