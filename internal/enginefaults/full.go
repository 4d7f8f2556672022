package enginefaults

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/rohrpost/rohrpost"
)

// Full is an engine that can be full.
type Full struct {
	Fill  func() // makes the engine refuse what is published
	Empty func() // makes room again

	// Remedy is in the one line that each hub logs. Required.
	Remedy string

	// Partial is true if the full engine may still take what is small: then a hub may log the
	// remedy never, or again.
	Partial bool

	// Signals is true if messages that are kept nowhere still arrive.
	Signals bool
}

// RunFull fills the engine while pages follow groups, and publishes more to one group than
// waits in a hub. It fails t if Run would, if the hubs do not log the remedy once each, or
// if that group is not the only one that loads its snapshot again.
func RunFull(t *testing.T, c Config, f Full) Result {
	var log Lines
	c.Log = io.MultiWriter(&log, t.Output())
	c.Pages, c.Rate = 20, 50
	c.fault = func(t testing.TB, e *test) {
		f.Fill()
		for tries := 0; tries < 200 && log.Count(f.Remedy) == 0; tries++ { // it may have some room left
			e.publishOne(0, incompressible(bulkBytes))
			time.Sleep(20 * time.Millisecond)
		}
		e.publishBulk(t, maxQueue/bulkBytes)
		for range 20 { // which nothing is left for
			e.publishOne(0, strings.Repeat("x", bulkBytes))
		}
		if f.Signals {
			e.signal(t)
		}
		time.Sleep(e.Quiet)
		f.Empty()
	}
	r := Run(t, c)
	if f.Partial {
		assert.NotZero(t, log.Count(f.Remedy)+log.Count("connection refused"), "what is to be done, or that the engine has ended")
	} else {
		assert.Equal(t, 2, log.Count(f.Remedy), "each hub logs once what is to be done")
	}
	assert.NotZero(t, r.Resyncs["overflow"], "the group that has lost changes")
	return r
}

// maxQueue is the bytes that wait in a hub.
const maxQueue = 32 << 20

// signal sends a message that is kept nowhere from one hub to the pages of another one.
func (e *test) signal(t testing.TB) {
	w := watch(t, e.addresses[1])
	w.subscribe(t, e.group(1))
	assert.Eventually(t, func() bool {
		return e.hubs[0].Send(e.group(1), rohrpost.Message{Type: "typing"}) == nil && w.heard("typing")
	}, 20*time.Second, 100*time.Millisecond, "a message that is not kept")
}
