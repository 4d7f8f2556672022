package main

import (
	"fmt"
	"slices"
	"strings"
)

// Sizes in the chart, in pixels.
const (
	chartWidth = 760
	labelWidth = 150 // the names of the servers
	valueWidth = 90  // the figures right of the bars
	barHeight  = 18
	rowHeight  = 24
	titleSpace = 44 // above the bars of a panel
)

// style is readable on light and on dark pages.
const style = `
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-weight: 600 } .note { fill: #57606a }
  .peer { fill: #8c959f } .hub { fill: #0969da } .floor { fill: #d0d7de }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .note { fill: #9198a1 }
    .peer { fill: #6e7681 } .hub { fill: #4493f8 } .floor { fill: #3d444d }
  }
`

// drawn is what the chart shows of a scenario.
func (s scenario) drawn() (c column, better string, ok bool) {
	switch {
	case s.kind == fanOut && s.groups < 2 && s.members == 1000 && s.inFlight > 1:
		return rate, "deliveries a second, more is better", true
	case s.kind == fanOut && s.groups < 2 && s.members == 1000:
		return cpu, "server CPU µs for a delivery, less is better", true
	case s.kind == requests && s.inFlight > 1:
		return rate, "replies a second, more is better", true
	case s.kind == paced && s.buffer == 0:
		return p99, "p99 in ms, less is better", true
	case s.kind == idle:
		return memory, "KiB for a connection, less is better", true
	}
	return c, "", false
}

// draw returns an SVG with a panel of bars for each scenario that is drawn.
func draw(reports []report) string {
	var panels strings.Builder
	y := 0
	for _, r := range reports {
		if c, better, ok := r.scenario.drawn(); ok {
			y = r.panel(&panels, y, c, better)
		}
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">
<title>This hub beside its peers</title>
<style>%s</style>
%s</svg>
`, chartWidth, y+10, chartWidth, y+10, style, panels.String())
}

// panel draws one scenario from y on, and returns where the next one begins.
func (r report) panel(b *strings.Builder, y int, c column, better string) int {
	fmt.Fprintf(b, "<text class=\"title\" x=\"0\" y=\"%d\">%s</text>\n", y+20, r.scenario)
	fmt.Fprintf(b, "<text class=\"note\" x=\"0\" y=\"%d\">%s</text>\n", y+37, better)
	y += titleSpace
	value := func(name string) float64 { return c.median(r.results[name]) }
	longest := value(slices.MaxFunc(r.names, func(a, b string) int { return int(value(a)*100) - int(value(b)*100) }))
	for _, name := range r.names {
		width := value(name) / max(longest, 1e-9) * (chartWidth - labelWidth - valueWidth)
		fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>", labelWidth-8, y+barHeight-4, name)
		fmt.Fprintf(b, "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"2\"/>", barClass(name), labelWidth, y, max(width, 1), barHeight)
		fmt.Fprintf(b, "<text x=\"%.1f\" y=\"%d\">"+c.format+"</text>\n", labelWidth+width+6, y+barHeight-4, value(name))
		y += rowHeight
	}
	return y + 8
}

func barClass(name string) string {
	switch name {
	case "hub", "floor":
		return name
	}
	return "peer"
}
