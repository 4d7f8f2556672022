//go:build unix

package fanout

import (
	"fmt"
	"net"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/sockio"
	"github.com/rohrpost/rohrpost/internal/wire"
	"github.com/stretchr/testify/require"
)

// BenchmarkWrite measures a worker's write to one member beside a plain Write to a
// socket, in turn.
func BenchmarkWrite(b *testing.B) {
	const members = 1000
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	defer func() { _ = listener.Close() }()
	e := newTestEngine(b, runtime.GOMAXPROCS(0))
	var readers, plain, plainReaders []net.Conn
	all := make([]Member, members)
	for i := range all {
		near, far := socketPair(b, listener)
		e.Init(&all[i], near, sockio.RawConn(near), fakeOwner{})
		require.NoError(b, all[i].Join("all"))
		readers = append(readers, far)
		near, far = socketPair(b, listener)
		plain, plainReaders = append(plain, near), append(plainReaders, far)
	}
	require.NoError(b, e.Wait(b.Context()))
	message := wire.TextFrame(make([]byte, 240))
	lists := e.groups.shard("all").groups["all"].lists
	var ours, floor []float64
	for b.Loop() {
		ours = append(ours, nanoseconds(func() {
			for _, l := range lists {
				l.worker.yielder = &sockio.Yielder{}
				l.worker.do([]op{{kind: opPost, list: l, frame: message}})
			}
		}))
		readAvailable(b, readers)
		floor = append(floor, nanoseconds(func() {
			for i, c := range plain {
				_, _ = c.Write(message)
				if i%yieldEvery == 0 {
					runtime.Gosched()
				}
			}
		}))
		readAvailable(b, plainReaders)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(ours)/members, "ns/write")
	b.ReportMetric(median(floor)/members, "floor-ns/write")
	b.ReportMetric(median(ours)/median(floor), "ratio")
}

func nanoseconds(f func()) float64 {
	began := time.Now()
	f()
	return float64(time.Since(began).Nanoseconds())
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// readAvailable reads what has come.
func readAvailable(b *testing.B, conns []net.Conn) {
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

// BenchmarkDeliver measures a message to a few members from Deliver until it is written: by
// the goroutine of the caller and by one of the engine, in turn.
func BenchmarkDeliver(b *testing.B) {
	for _, members := range []int{1, 8} {
		b.Run(fmt.Sprint(members), func(b *testing.B) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(b, err)
			defer func() { _ = listener.Close() }()
			e := newTestEngine(b, runtime.GOMAXPROCS(0))
			all := make([]Member, members)
			var readers []net.Conn
			for i := range all {
				near, far := socketPair(b, listener)
				e.Init(&all[i], near, sockio.RawConn(near), fakeOwner{})
				require.NoError(b, all[i].Join("all"))
				readers = append(readers, far)
			}
			require.NoError(b, e.Wait(b.Context()))
			message := []broker.Message{{Stream: "all", Payload: wire.TextFrame(make([]byte, 240))}}
			deliver := func(run func()) float64 {
				defer readAvailable(b, readers)
				for _, w := range e.workers {
					w.inline.Store(inlineRuns)
				}
				return nanoseconds(func() {
					e.Deliver(message)
					run()
					_ = e.Wait(b.Context())
				})
			}
			var inline, started []float64
			for b.Loop() {
				inline = append(inline, deliver(e.work))
				started = append(started, deliver(e.Start))
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(inline), "inline-ns")
			b.ReportMetric(median(started), "goroutine-ns")
		})
	}
}
