package lazyctx_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rohrpost/rohrpost/internal/lazyctx"
	"github.com/stretchr/testify/assert"
)

// TestContext compares the context of a handler with context.WithTimeout.
func TestContext(t *testing.T) {
	type ending func(parent context.CancelFunc, end func())
	nothing := func(context.CancelFunc, func()) {}
	for name, test := range map[string]struct {
		timeout time.Duration
		before  ending // before the first use of the context
		after   ending
	}{
		"nothing":                    {time.Second, nothing, nothing},
		"no timeout":                 {-1, nothing, nothing},
		"ends":                       {time.Second, nothing, func(_ context.CancelFunc, end func()) { end() }},
		"ended":                      {time.Second, func(_ context.CancelFunc, end func()) { end() }, nothing},
		"connection ends":            {time.Second, nothing, func(parent context.CancelFunc, _ func()) { parent() }},
		"connection ended":           {-1, func(parent context.CancelFunc, _ func()) { parent() }, nothing},
		"times out":                  {time.Second, nothing, func(context.CancelFunc, func()) { time.Sleep(time.Second) }},
		"timed out":                  {time.Second, func(context.CancelFunc, func()) { time.Sleep(time.Second) }, nothing},
		"times out, then ends":       {time.Second, func(context.CancelFunc, func()) { time.Sleep(2 * time.Second) }, func(_ context.CancelFunc, end func()) { end() }},
		"ends, then times out":       {time.Second, func(_ context.CancelFunc, end func()) { end() }, func(context.CancelFunc, func()) { time.Sleep(2 * time.Second) }},
		"both, before the first use": {time.Second, func(parent context.CancelFunc, end func()) { end(); parent() }, nothing},
	} {
		for i := range 4 {
			looks, limited := i%2 == 1, i/2 == 1
			t.Run(fmt.Sprint(name, ", looks=", looks, ", limited=", limited), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					parent, cancel := context.WithCancel(context.Background())
					defer cancel()
					if limited {
						parent, cancel = context.WithTimeout(parent, 500*time.Millisecond)
						defer cancel()
					}
					ours := lazyctx.New(parent, test.timeout)
					theirs, end := context.WithCancel(parent)
					if test.timeout >= 0 {
						theirs, end = context.WithTimeout(parent, test.timeout)
					}
					endBoth := func() { ours.End(); end() }
					defer endBoth()
					equal := func() {
						synctest.Wait()
						assert.Equal(t, theirs.Err(), ours.Err())
						assert.Equal(t, context.Cause(theirs), context.Cause(ours))
						assert.Equal(t, isClosed(theirs.Done()), isClosed(ours.Done()))
						a, aok := theirs.Deadline()
						b, bok := ours.Deadline()
						assert.Equal(t, aok, bok)
						assert.True(t, a.Equal(b))
					}
					if looks {
						equal()
					}
					test.before(cancel, endBoth)
					if looks {
						equal()
					}
					derived, stop := context.WithCancel(ours)
					defer stop()
					test.after(cancel, endBoth)
					equal()
					assert.Equal(t, theirs.Err(), derived.Err())
				})
			})
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
