package natsbroker_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/natsbroker"
)

// BenchmarkPublish publishes to 1,000 followed streams, and waits until all is delivered to
// a hub: one message at a time, and 200 in a call as a hub does under load.
func BenchmarkPublish(b *testing.B) {
	for _, files := range []bool{false, true} {
		for _, together := range []int{1, 200} {
			b.Run(fmt.Sprintf("files=%v/together=%d", files, together), func(b *testing.B) {
				s := startServer(b)
				hub := open(b, s, natsbroker.Config{Files: files, MaxBytes: 128 << 20})
				publisher := open(b, s, hub.config)
				streams := make([]string, 1000)
				for i := range streams {
					streams[i] = fmt.Sprint("g", i)
				}
				for half := range 2 {
					_, err := hub.Follow(b.Context(), streams[half*500:half*500+500])
					require.NoError(b, err)
				}
				ready, delivered := make(chan struct{}), make(chan int, 1<<20)
				go func() {
					_ = hub.Run(b.Context(), func() { close(ready) }, func(batch []broker.Message) { delivered <- len(batch) })
				}()
				<-ready
				payload := make([]byte, 200)
				number := uint64(0)
				for b.Loop() {
					batches := make([]broker.Batch, together)
					for i := range batches {
						number++
						message := broker.Message{Stream: streams[number%1000], Payload: payload}
						batches[i] = broker.Batch{Source: "s", Number: number, Messages: []broker.Message{message}}
					}
					require.NoError(b, publisher.Publish(b.Context(), batches))
					for n := 0; n < together; {
						n += <-delivered
					}
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*together), "µs/message")
			})
		}
	}
}
