package rohrpost

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var defenceRounds = flag.Int("defences", 0, "how often TestCostOfDefences measures each case both ways; 0: it does not")

// unlimited lifts each limit.
func unlimited() (l Limits) {
	v := reflect.ValueOf(&l).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Interface().(type) {
		case Rate:
			f.Set(reflect.ValueOf(Rate{PerSecond: -1}))
		case int, int64, time.Duration:
			f.SetInt(-1)
		}
	}
	return l
}

// defended returns the default limits. Two of them are as high as the benchmarks need, which
// ask as fast as the hub answers: what they count is counted all the same.
func defended() Limits {
	high := Rate{PerSecond: 1 << 30, Burst: 1 << 30}
	return Limits{Messages: high, InboundBytes: high}
}

// TestCostOfDefences measures what all defences together cost. It measures each case with the
// default limits and without any, by turns in one process, and prints the medians and their
// quotients. Nothing is judged: a loaded machine has its own figures.
//
//	go test -run '^TestCostOfDefences$' -v . -defences 9
func TestCostOfDefences(t *testing.T) {
	if *defenceRounds == 0 {
		t.Skip("takes minutes; choose a number of rounds with -defences")
	}
	silent := slog.New(slog.DiscardHandler)
	fmt.Println("| case | unit | with all defences | without | quotient |\n|---|---|---|---|---|")
	for _, c := range []struct {
		name, unit string // of testing.BenchmarkResult.Extra; "": ns/op
		run        func(b *testing.B, l Limits)
	}{
		{"fan-out to 1,000", "CPU-µs/delivery", func(b *testing.B, l Limits) {
			benchmarkFanout(b, Config{Limits: l, Logger: silent}, func(h *Hub) { h.Allow("all", Anyone) }, "")
		}},
		{"publish", "", func(b *testing.B, l Limits) { benchmarkPublish(b, NewHub(Config{Limits: l, Logger: silent}), nil) }},
		{"a request", "", func(b *testing.B, l Limits) { benchmarkRequests(b, Config{Limits: l, Logger: silent}, 1) }},
		{"32 requests", "", func(b *testing.B, l Limits) { benchmarkRequests(b, Config{Limits: l, Logger: silent}, 32) }},
		{"a request over a socket", "", func(b *testing.B, l Limits) { benchmarkOverSocket(b, l, 1) }},
		{"32 requests over a socket", "", func(b *testing.B, l Limits) { benchmarkOverSocket(b, l, 32) }},
		{"publish to a page over a socket", "", benchmarkToPage},
	} {
		var with, without []float64
		for i := range 2 * *defenceRounds {
			if i%4 == 0 || i%4 == 3 { // neither is always the first
				with = append(with, measured(c.run, defended(), c.unit))
			} else {
				without = append(without, measured(c.run, unlimited(), c.unit))
			}
		}
		slices.Sort(with)
		slices.Sort(without)
		on, off := with[len(with)/2], without[len(without)/2]
		if c.unit == "" {
			c.unit = "ns"
		}
		fmt.Printf("| %s | %s | %.4g | %.4g | %.3f |\n", c.name, c.unit, on, off, on/off)
	}
}

func measured(run func(b *testing.B, l Limits), l Limits, unit string) float64 {
	r := testing.Benchmark(func(b *testing.B) { run(b, l) })
	if unit == "" {
		return float64(r.T.Nanoseconds()) / float64(r.N)
	}
	return r.Extra[unit]
}

// benchmarkOverSocket sends requests together, and reads their replies.
func benchmarkOverSocket(b *testing.B, l Limits, together int) {
	hub := quiet(Config{Limits: l})
	client := rawDial(b, serve(b, hub))
	requests := bytes.Repeat(joined(frame{first: fin | text, payload: []byte(`{"id":1,"type":"ping"}`)}), together)
	for b.Loop() {
		_, err := client.conn.Write(requests)
		require.NoError(b, err)
		for range together {
			_, err := client.next()
			require.NoError(b, err)
		}
	}
}

// benchmarkToPage publishes a change, and reads it.
func benchmarkToPage(b *testing.B, l Limits) {
	hub := quiet(Config{Limits: l})
	ws := dial(b, serve(b, hub))
	send(b, ws, `{"id":1,"type":"subscribe","data":{"group":"g"}}`)
	receive(b, ws)
	for b.Loop() {
		require.NoError(b, hub.Publish(context.Background(), Change{Group: "g", Type: Update, Object: map[string]int{"id": 7}}))
		receive(b, ws)
	}
}

// TestUnlimited makes sure that a new limit is lifted, too.
func TestUnlimited(t *testing.T) {
	v := reflect.ValueOf(unlimited())
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; name != "TrustedProxies" {
			require.False(t, v.Field(i).IsZero(), name)
		}
	}
}
