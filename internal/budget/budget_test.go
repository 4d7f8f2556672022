package budget_test

import (
	"testing"
	"time"

	"github.com/rohrpost/rohrpost/internal/budget"
	"github.com/stretchr/testify/assert"
)

func TestBucket(t *testing.T) {
	var b budget.Bucket
	rate := budget.Rate{PerSecond: 10, Burst: 100}
	for range 100 {
		assert.Zero(t, b.Take(0, 1, rate), "the burst")
	}
	assert.Equal(t, 100*time.Millisecond, b.Take(0, 1, rate), "one more comes 100 ms early")
	assert.Zero(t, b.Take(200*time.Millisecond, 1, rate))
	assert.Equal(t, time.Second, b.Take(200*time.Millisecond, 10, rate))
	assert.Zero(t, b.Take(time.Hour, 100, rate), "a burst is earned again")
	assert.NotZero(t, b.Take(time.Hour, 1, rate), "and never more than one")
}

func TestNoLimit(t *testing.T) {
	for _, rate := range []budget.Rate{{-1, 0}, {0, -1}, {-1, -1}} {
		var b budget.Bucket
		for range 10 {
			assert.Zero(t, b.Take(0, 1<<30, rate))
		}
	}
}

// In the long run a client gets what the rate allows, whatever it asks for at a time.
func TestLongRun(t *testing.T) {
	for _, n := range []int{1, 3, 50} {
		var b budget.Bucket
		taken := 0
		for now := time.Duration(0); now < time.Minute; now += time.Millisecond {
			before := b
			if b.Take(now, n, budget.Rate{PerSecond: 100, Burst: 50}) == 0 {
				taken += n
			} else {
				b = before // refused: it is not charged
			}
		}
		assert.InDelta(t, 6000+50, taken, 51)
	}
}

func TestPressure(t *testing.T) {
	looks := 0
	p := budget.NewPressure(1600, func() { looks++ })
	for range 100 {
		p.Add(10)
	}
	assert.Equal(t, 10, looks, "once for each sixteenth")
	budget.NewPressure(-1, nil).Add(1 << 30)

	queues := []budget.Queue[string]{{"a", 10}, {"b", 50}, {"c", 30}}
	assert.Equal(t, []string{"b", "c"}, budget.Largest(queues, 15))
	assert.Empty(t, budget.Largest(queues, 90))
}
