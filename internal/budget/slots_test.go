package budget_test

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rohrpost/rohrpost/internal/budget"
	"github.com/stretchr/testify/assert"
)

// Goroutines that hand a slot on wake each other. On one processor another goroutine that
// can run does so after a few of their turns, and not when all of them are done.
func TestSlotsLetOthersRun(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const turns, most = 20_000, 1000
	s := budget.NewSlots(1)
	var taken, before atomic.Int64
	var all sync.WaitGroup
	s.Take()
	for range 4 {
		all.Go(func() {
			for taken.Add(1) < turns {
				s.Take()
				s.Leave()
			}
		})
	}
	for taken.Load() < 4 {
		runtime.Gosched() // until all of them wait
	}
	all.Go(func() { before.Store(taken.Load()) })
	s.Leave()
	all.Wait()
	assert.Less(t, before.Load(), int64(most))
}
