//go:build !linux

package sockio

import "runtime"

// Yielder lets other goroutines run. The zero value is ready.
type Yielder struct{ Poll bool }

// Yield lets other goroutines run.
func (y *Yielder) Yield() { runtime.Gosched() }

// Close does nothing.
func (y *Yielder) Close() {}
