package rohrpost

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkRecheck asks Allow about 20 memberships of each of 1,000 connections of different
// clients. With the default Config.RecheckInterval, 10,000 such connections make 667 calls
// a second.
func BenchmarkRecheck(b *testing.B) {
	const connections, groups = 1000, 20
	hub := quiet(Config{Limits: Limits{Messages: Rate{-1, -1}}})
	var calls atomic.Int64
	hub.Allow("g-{n}", func(context.Context, *Conn, Params) error { calls.Add(1); return nil })
	for range connections {
		c, _ := connect(b, hub, false)
		for g := range groups {
			ask(c, fmt.Sprintf(`{"id":1,"type":"subscribe","data":{"group":"g-%d"}}`, g))
		}
	}
	idle(hub)
	calls.Store(0)
	began := cpuTime()
	for b.Loop() {
		if err := hub.Recheck(b.Context(), "", ""); err != nil {
			b.Fatal(err)
		}
	}
	used := cpuTime() - began
	each := float64(used.Nanoseconds()) / float64(calls.Load())
	b.ReportMetric(each, "cpu-ns/call")
	b.ReportMetric(100*each*10_000*groups/float64((5*time.Minute).Nanoseconds()), "%-of-a-cpu")
	b.ReportMetric(float64(calls.Load())/float64(b.N), "calls/op")
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_ = hub.Shutdown(ctx)
}
