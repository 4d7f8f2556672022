package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestNodesTable compares each server with others by the quotients of each round.
func TestNodesTable(t *testing.T) {
	s := nodesScenario{title: "a group", groups: 1, columns: []nodesColumn{
		p50Column, {"hub CPU µs", "%.1f", func(r nodesResult) float64 { return r.hub }, "memory"},
	}}
	results := [][]nodesResult{
		{{p50: 1, hub: 6}, {p50: 2, hub: 8}, {p50: 3, hub: 10}},
		{{p50: 3, hub: 6}, {p50: 8, hub: 10}, {p50: 6, hub: 10}},
		{{p50: 2, hub: 12}, {p50: 4, hub: 16}, {p50: 6, hub: 20}},
	}
	want := `#### a group

| server | nodes | p50 ms | × centrifuge | hub CPU µs | × memory |
|---|---:|---:|---:|---:|---:|
| memory | 1 | 2.00 | 0.50 | 8.0 | 1.00 |
| redis | 2 | 6.00 | 1.50 | 10.0 | 1.00 |
| centrifuge | 2 | 4.00 | 1.00 | 16.0 | 2.00 |

By their CPU, two nodes carry this many times what one hub carries alone: 2.00 (redis).
`
	if got := s.table([]string{"memory", "redis", "centrifuge"}, results); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestArrived takes the time of each message that came whole.
func TestArrived(t *testing.T) {
	c := &cluster{}
	at := time.Now().Add(-time.Second).UnixNano()
	whole := fmt.Sprintf(`{"title":"x","at":%d,"more":1}`, at)
	c.arrived([]byte(whole + whole + whole[:strings.Index(whole, `,"more"`)-3]))
	if len(c.latencies) != 2 || c.latencies[0] < time.Second || c.latencies[0] > time.Minute {
		t.Errorf("latencies %v", c.latencies)
	}
}
