package rohrpost

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/rohrpost/rohrpost/internal/wire"
)

// BenchmarkRequests handles pings that arrive together, from reading the requests to
// writing the replies. Without sockets it measures only the hub's share of a request.
func BenchmarkRequests(b *testing.B) {
	for _, together := range []int{1, 32} {
		b.Run(fmt.Sprint("together=", together), func(b *testing.B) { benchmarkRequests(b, Config{}, together) })
	}
	b.Run("60 KB", func(b *testing.B) { benchmarkPings(b, Config{}, 1, `,"data":"`+strings.Repeat("x", 60<<10)+`"`) })
}

func benchmarkRequests(b *testing.B, config Config, together int) {
	benchmarkPings(b, config, together, "")
}

// benchmarkPings sends pings with data, or none.
func benchmarkPings(b *testing.B, config Config, together int, data string) {
	ping := []byte(`{"id":1,"type":"ping"` + data + `}`)
	pong := wire.TextFrame([]byte(`{"id":1,"type":"pong"` + data + `}`))
	c, socket := connect(b, NewHub(config), false)
	written := make(chan int, together)
	socket.onWrite = func(p []byte) { written <- len(p) }
	b.ReportAllocs()
	for b.Loop() {
		for range together {
			c.accept(inbound{data: bytes.Clone(ping)})
		}
		c.startDispatch()
		for got := 0; got < together*len(pong); got += <-written {
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*together), "ns/request")
}
