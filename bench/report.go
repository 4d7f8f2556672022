package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
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

// columns of a scenario. The first two are compared with this hub's.
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

func (c column) median(results []result) float64 {
	var values []float64
	for _, r := range results {
		values = append(values, c.of(r))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// report is what was measured.
type report struct {
	scenario scenario
	names    []string // this hub is the first
	results  map[string][]result
}

// table shows medians, and how many times the hub's they are.
func (r report) table() string {
	var b strings.Builder
	columns := r.scenario.columns()
	fmt.Fprintf(&b, "#### %s\n\n| server |", r.scenario)
	for i, c := range columns {
		fmt.Fprintf(&b, " %s |", c.title)
		if i < 2 {
			fmt.Fprintf(&b, " × %s |", r.names[0])
		}
	}
	b.WriteString("\n|---|" + strings.Repeat("---:|", len(columns)+min(len(columns), 2)) + "\n")
	for _, name := range r.names {
		fmt.Fprintf(&b, "| %s |", name)
		for i, c := range columns {
			value := c.median(r.results[name])
			fmt.Fprintf(&b, " "+c.format, value)
			if c.title == ceiling.title && value < 1.3*rate.median(r.results[name]) {
				b.WriteString(", generator-bound")
			}
			b.WriteString(" |")
			if i < 2 {
				fmt.Fprintf(&b, " %.2f |", value/c.median(r.results[r.names[0]]))
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

// What stands between these lines of the page is written by this command.
const (
	beginMark = "<!-- written by make bench-peers -->\n"
	endMark   = "<!-- end -->\n"
)

// write puts all tables into the page, and the chart beside it.
func write(reports []report, page, chart string) error {
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(text), beginMark)
	_, after, ended := strings.Cut(rest, endMark)
	if !found || !ended {
		return fmt.Errorf("%s: there is no place between %q and %q", page, beginMark, endMark)
	}
	var tables strings.Builder
	for _, r := range reports {
		tables.WriteString("\n" + r.table())
	}
	if err := os.WriteFile(page, []byte(before+beginMark+tables.String()+"\n"+endMark+after), 0o644); err != nil {
		return err
	}
	return os.WriteFile(chart, []byte(draw(reports)), 0o644)
}
