package natsbroker_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/natsbroker"
)

// TestLargeSignal publishes the signals of a call beside one that the server does not take.
func TestLargeSignal(t *testing.T) {
	o := open(t, startServer(t), natsbroker.Config{})
	follow(t, o)
	got := make(chan string, 10)
	ready := make(chan struct{})
	go func() {
		_ = o.Run(t.Context(), func() { close(ready) }, func(batch []broker.Message) { got <- string(batch[0].Payload) })
	}()
	<-ready
	err := o.Signal(t.Context(), []broker.Message{
		{Stream: "g", Payload: make([]byte, o.nc.MaxPayload()+1)},
		{Stream: "g", Payload: []byte("small")},
	})
	require.ErrorIs(t, err, nats.ErrMaxPayload)
	select {
	case payload := <-got:
		assert.Equal(t, "small", payload)
	case <-time.After(20 * time.Second):
		assert.Fail(t, "the small one is lost")
	}
}
