package main

import (
	"fmt"
	"slices"
)

// String is the progress of a round.
func (r result) String() string {
	if r.memory != 0 {
		return fmt.Sprintf("%8.2f KiB", r.memory)
	}
	return fmt.Sprintf("%10.0f/s %8.2f µs %8.2f ms", r.rate, r.cpu, r.p99)
}

// column is one of a table.
type column struct {
	title  string
	format string
	of     func(result) float64
}

var (
	rate    = column{"a second", "%.0f", func(r result) float64 { return r.rate }}
	cpu     = column{"server CPU µs for each", "%.2f", func(r result) float64 { return r.cpu }}
	ceiling = column{"generator's ceiling", "%.0f", func(r result) float64 { return r.ceiling }}
	p50     = column{"p50 ms", "%.2f", func(r result) float64 { return r.p50 }}
	p99     = column{"p99 ms", "%.2f", func(r result) float64 { return r.p99 }}
	memory  = column{"KiB for a connection", "%.2f", func(r result) float64 { return r.memory }}
)

// columns of a scenario; the first is compared with this hub's.
func (s scenario) columns() []column {
	switch s.kind {
	case idle:
		return []column{memory}
	case paced:
		return []column{p99, p50, cpu}
	default:
		return []column{rate, cpu, ceiling}
	}
}

// report prints one table of medians, and ratios to the first peer.
func report(s scenario, names []string, results map[string][]result) {
	columns := s.columns()
	fmt.Printf("\n#### %s\n\n| server | %s | × %s |", s, columns[0].title, names[0])
	for _, c := range columns[1:] {
		fmt.Printf(" %s |", c.title)
	}
	fmt.Print("\n|---|")
	for range len(columns) + 1 {
		fmt.Print("---:|")
	}
	fmt.Println()
	first := columns[0].median(results[names[0]])
	for _, name := range names {
		value := columns[0].median(results[name])
		fmt.Printf("| %s | "+columns[0].format+" | %.2f |", name, value, value/first)
		for _, c := range columns[1:] {
			fmt.Printf(" "+c.format+" |", c.median(results[name]))
		}
		if bound := ceiling.median(results[name]); slices.ContainsFunc(columns, column.limits) && bound < 1.3*value {
			fmt.Print(" generator-bound")
		}
		fmt.Println()
	}
}

// limits reports whether it says how much the generator takes.
func (c column) limits() bool { return c.title == ceiling.title }

func (c column) median(results []result) float64 {
	var values []float64
	for _, r := range results {
		values = append(values, c.of(r))
	}
	slices.Sort(values)
	return values[len(values)/2]
}
