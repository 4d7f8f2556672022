package rohrpost

import (
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/rohrpost/rohrpost/internal/wire"
	"github.com/stretchr/testify/require"
)

// BenchmarkWrite lets a worker write one message to each of 1,000 members, and
// plain connections of net be written to, in turn: medians of what one write
// takes, and their ratio. It is the ratio that bears a busy machine.
//
//	go test -run '^$' -bench '^BenchmarkWrite$' -benchtime 300x -count 5 .
func BenchmarkWrite(b *testing.B) {
	const members = 1000
	hub := quiet(Config{})
	url := serve(b, hub)
	var readers []net.Conn
	for range members {
		ws := dial(b, url)
		join(b, ws, "all")
		readers = append(readers, ws.NetConn())
	}
	plain, plainReaders := plainConnections(b, members)
	message := wire.TextFrame(make([]byte, 240))
	parts := hub.groups.shard("all").groups["all"].parts
	var ours, floor []float64
	for b.Loop() {
		ours = append(ours, timed(func() {
			for _, p := range parts {
				p.worker.do([]op{{kind: opPost, part: p, frame: message}})
			}
		}))
		drain(b, readers)
		floor = append(floor, timed(func() {
			for i, c := range plain {
				_, _ = c.Write(message)
				if i%yieldEvery == 0 {
					runtime.Gosched()
				}
			}
		}))
		drain(b, plainReaders)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(ours)/members, "ns/write")
	b.ReportMetric(median(floor)/members, "floor-ns/write")
	b.ReportMetric(median(ours)/median(floor), "ratio")
}

// plainConnections returns both ends of connections of net.
func plainConnections(b *testing.B, count int) (ends, others []net.Conn) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	defer func() { _ = listener.Close() }()
	for range count {
		other, err := net.Dial("tcp", listener.Addr().String())
		require.NoError(b, err)
		end, err := listener.Accept()
		require.NoError(b, err)
		ends, others = append(ends, end), append(others, other)
		b.Cleanup(func() { _ = other.Close(); _ = end.Close() })
	}
	return ends, others
}

func timed(f func()) float64 {
	began := time.Now()
	f()
	return float64(time.Since(began).Nanoseconds())
}

// drain reads what is there.
func drain(b *testing.B, conns []net.Conn) {
	buffer := make([]byte, 4096)
	for _, c := range conns {
		raw, err := c.(syscall.Conn).SyscallConn()
		require.NoError(b, err)
		_ = raw.Read(func(fd uintptr) bool {
			_, err = syscall.Read(int(fd), buffer)
			return true
		})
		require.NoError(b, err)
	}
}
