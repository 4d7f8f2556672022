package rohrpost

import (
	"bytes"
	"fmt"
	"testing"
)

// BenchmarkRequests handles pings that arrive together, from reading the requests to
// writing the replies. Without sockets it measures only the hub's share of a request.
func BenchmarkRequests(b *testing.B) {
	for _, together := range []int{1, 32} {
		b.Run(fmt.Sprint("together=", together), func(b *testing.B) { benchmarkRequests(b, Config{}, together) })
	}
}

func benchmarkRequests(b *testing.B, config Config, together int) {
	const ping, pong = `{"id":1,"type":"ping"}`, `..{"id":1,"type":"pong"}`
	c, socket := connect(b, NewHub(config), false)
	written := make(chan int, together)
	socket.onWrite = func(p []byte) { written <- len(p) }
	b.ReportAllocs()
	for b.Loop() {
		for range together {
			c.accept(inbound{data: bytes.Clone([]byte(ping))})
		}
		c.startDispatch()
		for got := 0; got < together*len(pong); got += <-written {
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*together), "ns/request")
}
