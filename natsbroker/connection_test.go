package natsbroker_test

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/natsbroker"
)

// TestLostConnection ends all calls with the connection on which they have asked, and Run.
// Calls on the next connection go on.
func TestLostConnection(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	b := open(t, s, natsbroker.Config{})
	for round := range uint64(3) {
		running, ready := make(chan error, 1), make(chan struct{})
		go func() { running <- b.Run(t.Context(), func() { close(ready) }, func([]broker.Message) {}) }()
		<-ready
		publish(t, b, 2*round+1, "x")
		s.Signal(syscall.SIGSTOP)
		time.Sleep(50 * time.Millisecond) // it stops a moment later
		ended := make(chan error, 2)
		began := time.Now()
		for _, source := range []string{"s", "another"} {
			go func() {
				ended <- b.Publish(context.Background(), []broker.Batch{{Source: source, Number: 2*round + 2, Messages: []broker.Message{{Stream: "g"}}}})
			}()
		}
		time.Sleep(100 * time.Millisecond)
		s.Kill()
		for range cap(ended) {
			require.ErrorContains(t, <-ended, "publish: the connection to the server has ended")
		}
		require.ErrorContains(t, <-running, "listen: the connection to the server has ended")
		assert.Less(t, time.Since(began), 3*time.Second, "nobody waits for an answer")
		s.Start()
		require.Eventually(t, b.nc.IsConnected, 20*time.Second, time.Millisecond, fmt.Sprint("round ", round))
	}
}
